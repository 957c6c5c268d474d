"""What every request passes before it is routed: who asks, from where, and whether they ask too often."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authn.client_address import ClientAddressResolver, network_of, rate_limit_group
from authn.credentials import read_credentials
from chassis.http.app import problem_response
from contracts.auth.credentials import Principal
from contracts.wire.errors import Refusal
from gateway.edge.rate_limits import domain as rate_limit
from gateway.edge.rate_limits.domain import Policy, policy
from gateway.edge.rate_limits.service import RateLimiter, used_up
from gateway.errors import BatchTooLarge

LOGIN = frozenset(f"/api/v1/auth/{name}" for name in ("login", "refresh"))
REGISTER = "/api/v1/auth/register"
TELLS_NOTHING = frozenset({400, 403, 408, 413, 415, 422})  # nobody learns from such an answer which names are taken
FREE = frozenset({"/healthz", "/readyz"})
INTERNAL = "/internal/"  # executors; the link that they were given is their right
READS = frozenset({"GET", "HEAD"})

Used = Callable[[UUID, str, str], None]


class CredentialResolver(Protocol):
    """Whom credentials belong to; ``door.identity.Identity`` is one."""

    def known(self, credential: str) -> Principal | None:
        """Whose it is, if that is known without asking."""

    async def principal(self, credential: str) -> Principal:
        """Whose it is. Raises InvalidCredential, Unavailable."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How requests are counted: those of logins and those without a valid credential, by address.

    Attributes:
        register: registrations by address; ``register_network``: by the network around it.
    """

    limiter: RateLimiter
    login: Policy
    open: Policy
    register: Policy
    register_network: Policy


@dataclass(frozen=True, slots=True)
class _Counted:
    """What the answer says of the bucket, and the refusal if that is empty.

    Attributes:
        refundable: buckets that get their token back if the answer is one of ``TELLS_NOTHING``.
    """

    headers: rate_limit.Headers
    refusal: Refusal | None = None
    refundable: tuple[str, ...] = ()


_NOT_COUNTED = _Counted([])


class Admission:
    """ASGI middleware. Puts ``client_ip``, ``principal``, ``refusal`` and ``charge`` into the request's state.

    ``refusal`` says why a credential has no principal, for routes that need one; others never look. A credential that
    is not yet known is counted like none at all until auth has said whose it is: nobody guesses faster than that.

    ``charge`` is for routes that do the work of several requests: called with how many more this one counts as, it
    raises RateLimited where they are not left, and BatchTooLarge where no minute has so many.

    Args:
        app: what is inside.
        identity: whom credentials belong to.
        clients: finds a request's client.
        rates: None lets everybody ask as often as they like.
        used: told of every request of a known user when it is answered: whose, method, template of the path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: CredentialResolver,
        clients: ClientAddressResolver,
        rates: Rates | None,
        used: Used,
    ) -> None:
        self._app, self._identity, self._clients, self._used = app, identity, clients, used
        self._limiter = rates.limiter if rates else None
        self._login = rates.login if rates else None
        self._open = rates.open if rates else None
        self._register = (rates.register, rates.register_network) if rates else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        peer = scope.get("client")
        state["client_ip"] = self._clients.of(peer[0] if peer else None, headers.getlist("x-forwarded-for"))
        state["principal"], state["refusal"] = None, None
        try:
            counted = await self._count(scope, headers)
        except Refusal as refusal:  # logins, while nobody counts
            counted = _Counted([], refusal)

        async def charge(more: int) -> None:
            nonlocal counted
            counted = await self._charge(scope, more) if more else counted
            if counted.refusal is not None:
                raise counted.refusal

        state["charge"] = charge

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *counted.headers]
                self._settle(counted, message["status"])
                self._note(scope)
            await send(message)

        inside: ASGIApp = self._app
        if counted.refusal is not None:
            inside = problem_response(Request(scope), counted.refusal.refused)
        await inside(scope, receive, send_counted)

    def _settle(self, counted: _Counted, status: int) -> None:
        """Give tokens back once it is known that the answer tells nothing."""
        if status in TELLS_NOTHING:
            self._refund(counted.refundable)

    def _note(self, scope: Scope) -> None:
        """Have a request counted that found a route, by the route's template: paths name jobs and people."""
        principal, route = scope["state"]["principal"], scope.get("route")
        if principal is not None and isinstance(route, Route) and scope["method"] in (route.methods or ()):
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            self._used(principal.user_id, method, route.path_format)

    async def _count(self, scope: Scope, headers: Headers) -> _Counted:
        path, method, state = scope["path"], scope["method"], scope["state"]
        if path in FREE or method == "OPTIONS" or path.startswith(INTERNAL):
            return _NOT_COUNTED
        whose = rate_limit_group(state["client_ip"])
        if path in LOGIN and method == "POST":
            return await self._take(self._login, whose)
        if path == REGISTER and method == "POST":
            return await self._count_registration(state["client_ip"])
        match read_credentials(headers):
            case [str(credential)]:
                principal = self._identity.known(credential)
                if principal is None:
                    return await self._ask(credential, whose, scope)
                return await self._let_in(principal, scope)
            case _:
                return await self._take(self._open, whose)

    async def _ask(self, credential: str, whose: str, scope: Scope) -> _Counted:
        """Ask auth, on the address's account until the answer is there."""
        counted = await self._take(self._open, whose)
        if counted.refusal is not None:
            return counted
        try:
            principal = await self._identity.principal(credential)
        except Refusal as refusal:
            scope["state"]["refusal"] = refusal
            return counted
        if self._limiter and self._open:
            self._limiter.back(self._open.key(whose))
        return await self._let_in(principal, scope)

    async def _count_registration(self, client: str) -> _Counted:
        """Count an attempt by its address and by its network; both get their token back if it tells nothing.

        Attempts that get it back are bounded like other requests without a credential. Logins are counted apart: those
        who register too often lock nobody out behind the same address.
        """
        counted = await self._take(self._open, rate_limit_group(client))
        if counted.refusal is not None:
            return counted
        taken: dict[str, _Counted] = {}
        for counted_by, whose in zip(self._register, (rate_limit_group(client), network_of(client)), strict=False):
            counted = await self._take(counted_by, whose)
            if counted.refusal is not None:
                self._refund(taken)
                return counted
            taken[counted_by.key(whose)] = counted
        by_address = next(iter(taken.values()), counted)
        return _Counted(by_address.headers, refundable=tuple(taken))

    def _refund(self, keys: Iterable[str]) -> None:
        if self._limiter is not None:
            for key in keys:
                self._limiter.back(key)

    async def _let_in(self, principal: Principal, scope: Scope) -> _Counted:
        scope["state"]["principal"] = principal
        return await self._take(_policy_of(principal, scope), principal.tenant)

    async def _charge(self, scope: Scope, more: int) -> _Counted:
        """Count a request that was let in as so many more."""
        principal = scope["state"]["principal"]
        counted_by = _policy_of(principal, scope)
        if counted_by is not None and self._limiter is not None and more >= counted_by.limit:
            raise BatchTooLarge(jobs=more + 1, limit=counted_by.limit)
        return await self._take(counted_by, principal.tenant, more)

    async def _take(self, counted_by: Policy | None, whose: str, count: int = 1) -> _Counted:
        if counted_by is None or self._limiter is None:
            return _NOT_COUNTED
        key = counted_by.key(whose)
        verdict = self._limiter.take_now(key, counted_by, count) or await self._limiter.take(key, counted_by, count)
        headers = rate_limit.headers(counted_by, verdict)
        return _Counted(headers, None if verdict.allowed else used_up(counted_by, verdict))


def _policy_of(principal: Principal, scope: Scope) -> Policy | None:
    """What counts a user's request; None where its requests are not limited."""
    if principal.requests_per_minute is None:
        return None
    return policy("read" if scope["method"] in READS else "write", principal.requests_per_minute)
