"""Builds the middleware that every HTTP request passes: CORS, request guard, authentication and rate limits."""

from dataclasses import dataclass
from time import monotonic

from starlette.middleware import Middleware

from authn.authenticator import Authenticator
from authn.client_address import ClientAddressResolver, parse_networks
from chassis.database.postgres import Database
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from gateway.edge.admission import AddressRateLimits, Admission, CountRequest, FindLinkOwner
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.cors import Cors
from gateway.edge.denials import DenialReporter
from gateway.edge.rate_limits.domain import HOUR_S, HOURLY_PREFIX, Policy, per_minute_policy
from gateway.edge.rate_limits.loops import create_rate_limit_loops, create_unlimited_warning_loop
from gateway.edge.rate_limits.service import RateLimiter
from gateway.edge.rate_limits.store import RateLimitStore
from gateway.edge.request_guard import RequestGuard
from gateway.settings import Settings
from gateway.timeouts import Timeouts

BODY_MEMORY_BYTES = 256 << 20
LINKS_PER_MINUTE = 6000  # GETs of signed links per owner: a page of a hundred thumbnails, once a second
REQUEST_HEADERS = (
    "X-API-Key", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "Range", "X-Request-Id",
)  # fmt: skip
"""Headers that pages of other origins may send."""
RESPONSE_HEADERS = (
    "Location", "Idempotent-Replayed", "Preference-Applied", "X-Request-Id", "RateLimit", "RateLimit-Policy",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "X-Quota-Limit",
    "X-Quota-Remaining", "X-Quota-Reset", "ETag", "Content-Range", "Content-Disposition",
)  # fmt: skip
"""Headers that pages of other origins may read."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The parts of the middleware. ``rates`` is None if rate limits are disabled."""

    settings: Settings
    identity: Authenticator
    limiter: RateLimiter
    rates: AddressRateLimits | None
    denials: DenialReporter
    loops: tuple[Loop, ...]
    find_link_owner: FindLinkOwner

    def build_middleware(self, *, count_request: CountRequest) -> list[Middleware]:
        """Return the middleware of the application, outermost first.

        ``count_request`` is called for each request of a known user.
        """
        return [
            *_build_cors_middleware(self.settings.cors_origins or ""),
            Middleware(RequestGuard),
            Middleware(
                Admission,
                identity=self.identity,
                clients=ClientAddressResolver(parse_networks(self.settings.trusted_proxies or "")),
                rates=self.rates,
                find_link_owner=self.find_link_owner,
                count_request=count_request,
                denials=self.denials,
                bodies=CapacityLimit(total=BODY_MEMORY_BYTES, per_client=BODY_MEMORY_BYTES // 4, clock=monotonic),
            ),
        ]


def wire_edge(
    settings: Settings, bus: Bus, database: Database, timeouts: Timeouts, *, find_link_owner: FindLinkOwner
) -> Edge:
    """Construct authentication and rate limits; ``find_link_owner`` returns the owner of a signed link."""
    identity = Authenticator(bus, service="gateway")
    store = RateLimitStore(database)
    limiter = RateLimiter(store, fetch_timeout_s=timeouts.fetch_tokens_s)
    rates = _build_address_rate_limits(settings, limiter)
    return Edge(
        settings=settings,
        identity=identity,
        limiter=limiter,
        rates=rates,
        denials=DenialReporter(bus),
        find_link_owner=find_link_owner,
        loops=(
            *identity.loops,
            *(create_rate_limit_loops(limiter, store) if rates else (create_unlimited_warning_loop(),)),
        ),
    )


def _build_cors_middleware(origins: str) -> list[Middleware]:
    """Let pages of these exact origins, comma separated, call the API with a credential in a header, but no cookies."""
    exact = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not exact:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=exact,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )
    ]


def _build_address_rate_limits(settings: Settings, limiter: RateLimiter) -> AddressRateLimits | None:
    if not settings.rate_limit_enabled:
        return None
    return AddressRateLimits(
        limiter,
        login=per_minute_policy("login", settings.login_per_minute, strict=True),
        open=per_minute_policy("open", settings.open_per_minute),
        register=Policy(HOURLY_PREFIX, settings.register_per_hour, window_s=HOUR_S, strict=True),
        register_network=Policy(
            f"{HOURLY_PREFIX}-network", settings.register_network_per_hour, window_s=HOUR_S, strict=True
        ),
        links=per_minute_policy("links", LINKS_PER_MINUTE),
    )
