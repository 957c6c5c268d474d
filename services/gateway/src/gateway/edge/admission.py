"""Authenticates, rate-limits and counts every request before it is routed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authn.client_address import ClientAddressResolver, find_network, find_rate_limit_group
from authn.credentials import read_credentials
from chassis.http.app import build_problem_response
from contracts.auth.credentials import Principal
from contracts.wire.errors import Refusal
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.denials import DenialReporter
from gateway.edge.errors import BatchTooLarge
from gateway.edge.rate_limits import domain as rate_limit
from gateway.edge.rate_limits.domain import Policy, per_minute_policy
from gateway.edge.rate_limits.service import RateLimiter, build_rate_limited_refusal

LOGIN_PATHS = frozenset(f"/api/v1/auth/{name}" for name in ("login", "refresh", "login-links/redeem"))
REGISTER_PATH = "/api/v1/auth/register"
REFUNDED_STATUSES = frozenset({400, 403, 408, 413, 415, 422})  # these statuses do not reveal which names are taken
UNLIMITED_PATHS = frozenset({"/healthz", "/readyz"})
STATIC_PREFIX = "/assets/"  # files of the web console, served from memory
INTERNAL_PREFIX = "/internal/"  # used by executors; the token in the link authorizes them
SAFE_METHODS = frozenset({"GET", "HEAD"})
BROWSE_FACTOR = 10
"""The read limit of browser sessions, as a multiple of that of API keys: each console page takes several requests."""
LARGE_DOWNLOAD_SUFFIXES = ("/export", ".zip")
"""Paths with these suffixes do not get ``BROWSE_FACTOR``: one request reads many files."""

CountRequest = Callable[[UUID, str, str], None]
"""Counts a request of a user for the usage statistics, by method and path template."""
FindLinkOwner = Callable[[str, bytes], str | None]
"""Returns the owner of the signed link that a request uses, by path and query; None if there is no valid link."""


class CredentialResolver(Protocol):
    """Finds the principal of a credential; ``authn.authenticator.Authenticator`` is one."""

    def find_cached(self, credential: str) -> Principal | None:
        """Return the cached principal; None if it is not cached."""

    async def authenticate(self, credential: str) -> Principal:
        """Return the principal. Raises BadCredential, Unavailable."""


@dataclass(frozen=True, slots=True)
class AddressRateLimits:
    """Rate limits of requests that are counted per address instead of per user.

    Attributes:
        login: logins and refreshes.
        open: requests without a valid credential.
        register: registrations by address.
        register_network: registrations by the network around the address.
        links: requests with a signed link, per owner of what it links to.
    """

    limiter: RateLimiter
    login: Policy
    open: Policy
    register: Policy
    register_network: Policy
    links: Policy


@dataclass(frozen=True, slots=True)
class _CountedRequest:
    """The rate limit headers of the response, and the refusal if the bucket is empty.

    Attributes:
        refundable: buckets that get their token back if the status is one of ``REFUNDED_STATUSES``.
    """

    headers: rate_limit.Headers
    refusal: Refusal | None = None
    refundable: tuple[str, ...] = ()


_NOT_COUNTED = _CountedRequest([])


class Admission:
    """ASGI middleware. Puts ``client_ip``, ``principal``, ``refusal``, ``charge``, ``bodies`` into the request's state.

    ``refusal`` says why the credential is invalid; only routes that require a credential raise it. Until auth has
    answered for an unknown credential, the request counts as one without a credential, so guessing keys is
    rate-limited.

    ``charge`` is for routes that do the work of several requests. Called with the number of additional requests, it
    raises RateLimited where the bucket has fewer tokens, and BatchTooLarge where the limit of a minute is lower.

    Args:
        app: the next ASGI application.
        identity: finds the principal of a credential.
        clients: finds the client's address.
        rates: None disables rate limits.
        find_link_owner: finds the owner of a signed link. Such requests need no credential, and are counted per owner,
            separately from other requests.
        count_request: called for each answered request of a known user, with user id, method and path template.
        denials: records requests that lack a scope.
        bodies: limits the memory of request bodies.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: CredentialResolver,
        clients: ClientAddressResolver,
        rates: AddressRateLimits | None,
        find_link_owner: FindLinkOwner,
        count_request: CountRequest,
        denials: DenialReporter,
        bodies: CapacityLimit,
    ) -> None:
        self._app, self._identity, self._clients, self._count_for_usage = app, identity, clients, count_request
        self._denials, self._bodies, self._link_owner = denials, bodies, find_link_owner
        self._limiter = rates.limiter if rates else None
        self._login = rates.login if rates else None
        self._open = rates.open if rates else None
        self._links = rates.links if rates else None
        self._register = (rates.register, rates.register_network) if rates else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        peer = scope.get("client")
        state["client_ip"] = self._clients.resolve(peer[0] if peer else None, headers.getlist("x-forwarded-for"))
        state["principal"], state["refusal"], state["bodies"] = None, None, self._bodies
        try:
            counted = await self._count_request(scope, headers)
        except Refusal as refusal:  # logins while the database is unavailable
            counted = _CountedRequest([], refusal)

        async def charge(additional: int) -> None:
            nonlocal counted
            counted = await self._charge_additional_requests(scope, additional) if additional else counted
            if counted.refusal is not None:
                raise counted.refusal

        state["charge"] = charge

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *counted.headers]
                self._refund_if_uninformative(counted, message["status"])
                self._count_routed_request(scope)
                self._record_denial(scope)
            await send(message)

        app: ASGIApp = self._app
        if counted.refusal is not None:
            app = build_problem_response(Request(scope), counted.refusal.details)
        await app(scope, receive, send_with_headers)

    def _refund_if_uninformative(self, counted: _CountedRequest, status: int) -> None:
        """Refund tokens once the status shows that the response reveals nothing about accounts."""
        if status in REFUNDED_STATUSES:
            self._refund_tokens(counted.refundable)

    def _count_routed_request(self, scope: Scope) -> None:
        """Count a routed request by its path template, since paths contain ids."""
        principal, route = scope["state"]["principal"], scope.get("route")
        if principal is not None and isinstance(route, Route) and scope["method"] in (route.methods or ()):
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            self._count_for_usage(principal.user_id, method, route.path_format)

    def _record_denial(self, scope: Scope) -> None:
        state = scope["state"]
        if "denied" in state:
            what = f"{scope['method']} {scope['path']}"
            self._denials.report(state["principal"], what=what, code=state["denied"], ip=state["client_ip"])

    async def _count_request(self, scope: Scope, headers: Headers) -> _CountedRequest:
        path, method, state = scope["path"], scope["method"], scope["state"]
        if path in UNLIMITED_PATHS or method == "OPTIONS" or path.startswith((INTERNAL_PREFIX, STATIC_PREFIX)):
            return _NOT_COUNTED
        client = find_rate_limit_group(state["client_ip"])
        if path in LOGIN_PATHS and method == "POST":
            return await self._take_tokens(self._login, client)
        if path == REGISTER_PATH and method == "POST":
            return await self._count_registration(state["client_ip"])
        owner = self._link_owner(path, scope["query_string"]) if method in SAFE_METHODS else None
        if owner is not None:
            state["user_id"] = owner
            return await self._take_tokens(self._links, owner)
        return await self._count_credential(headers, client, scope)

    async def _count_credential(self, headers: Headers, client: str, scope: Scope) -> _CountedRequest:
        match read_credentials(headers):
            case [str(credential)]:
                principal = self._identity.find_cached(credential)
                if principal is None:
                    return await self._resolve_credential(credential, client, scope)
                return await self._admit_principal(principal, scope)
            case _:
                return await self._take_tokens(self._open, client)

    async def _resolve_credential(self, credential: str, client: str, scope: Scope) -> _CountedRequest:
        """Request the principal from auth. Until it answers, the request counts against the client's address."""
        counted = await self._take_tokens(self._open, client)
        if counted.refusal is not None:
            return counted
        try:
            principal = await self._identity.authenticate(credential)
        except Refusal as refusal:
            scope["state"]["refusal"] = refusal
            return counted
        if self._limiter and self._open:
            self._limiter.refund(self._open.key(client))
        return await self._admit_principal(principal, scope)

    async def _count_registration(self, client: str) -> _CountedRequest:
        """Count an attempt by address and by network; both tokens are refunded if the response reveals nothing.

        Refunded attempts still count as requests without a credential. Logins are counted separately, so too many
        registrations from an address do not block logins from it.
        """
        counted = await self._take_tokens(self._open, find_rate_limit_group(client))
        if counted.refusal is not None:
            return counted
        taken: dict[str, _CountedRequest] = {}
        for policy, group in zip(self._register, (find_rate_limit_group(client), find_network(client)), strict=False):
            counted = await self._take_tokens(policy, group)
            if counted.refusal is not None:
                self._refund_tokens(taken)
                return counted
            taken[policy.key(group)] = counted
        by_address = next(iter(taken.values()), counted)
        return _CountedRequest(by_address.headers, refundable=tuple(taken))

    def _refund_tokens(self, keys: Iterable[str]) -> None:
        if self._limiter is not None:
            for key in keys:
                self._limiter.refund(key)

    async def _admit_principal(self, principal: Principal, scope: Scope) -> _CountedRequest:
        scope["state"]["principal"], scope["state"]["user_id"] = principal, principal.tenant
        return await self._take_tokens(_find_policy(principal, scope), principal.tenant)

    async def _charge_additional_requests(self, scope: Scope, additional: int) -> _CountedRequest:
        """Take the tokens of ``additional`` requests for a request that was already admitted."""
        principal = scope["state"]["principal"]
        policy = _find_policy(principal, scope)
        if policy is not None and self._limiter is not None and additional >= policy.limit:
            raise BatchTooLarge(jobs=additional + 1, limit=policy.limit)
        return await self._take_tokens(policy, principal.tenant, additional)

    async def _take_tokens(self, policy: Policy | None, client: str, count: int = 1) -> _CountedRequest:
        if policy is None or self._limiter is None:
            return _NOT_COUNTED
        key = policy.key(client)
        decision = self._limiter.try_take_cached_tokens(key, policy, count) or await self._limiter.take(
            key, policy, count
        )
        headers = rate_limit.build_headers(policy, decision)
        return _CountedRequest(headers, None if decision.allowed else build_rate_limited_refusal(policy, decision))


def _find_policy(principal: Principal, scope: Scope) -> Policy | None:
    """Return the rate limit of a user's request; None where the user is unlimited."""
    if principal.requests_per_minute is None:
        return None
    if scope["method"] not in SAFE_METHODS:
        return per_minute_policy("write", principal.requests_per_minute)
    if principal.session_id is None or scope["path"].endswith(LARGE_DOWNLOAD_SUFFIXES):
        return per_minute_policy("read", principal.requests_per_minute)
    return per_minute_policy("browse", principal.requests_per_minute * BROWSE_FACTOR)
