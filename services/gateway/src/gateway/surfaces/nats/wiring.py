"""Wires the NATS API for external systems."""

from gateway.accounts.user_cache import UserCache
from gateway.edge.rate_limits.service import RateLimiter
from gateway.jobs.service import JobService
from gateway.jobs.submit import JobSubmitter
from gateway.surfaces.nats.routes import NatsApiRateLimits, serve_requests
from gateway.wiring import Infrastructure


def serve_nats_api(
    infra: Infrastructure, *, limiter: RateLimiter | None, users: UserCache, jobs: JobService, submitter: JobSubmitter
) -> None:
    """Serve requests of external systems. Call it before the bus starts.

    Args:
        infra: settings and connections.
        limiter: None where requests are not limited.
        users: has each user's limits, and is notified when their usage changes.
        jobs: reads and cancels their jobs.
        submitter: submits their jobs.
    """
    serve_requests(
        infra.bus,
        jobs,
        submitter,
        infra.settings.public_url,
        rates=NatsApiRateLimits(limiter, users),
        on_usage_changed=users.drop_cached_usage,
    )
