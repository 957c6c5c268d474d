"""Builds the routes and loops for each user's usage by day."""

from dataclasses import dataclass

from gateway.admin.operations import AdminActions
from gateway.usage import routes
from gateway.usage.loops import create_usage_loops
from gateway.usage.request_counts import RequestCounts
from gateway.usage.service import UsageView
from gateway.usage.store import RequestUsageStore
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class Usage(Feature):
    """The wired usage feature, with the counter that middleware calls for each request."""

    counts: RequestCounts


def wire_usage(infra: Infrastructure, operations: AdminActions) -> Usage:
    """Construct the usage feature; ``operations`` records that an admin read a user's usage."""
    store = RequestUsageStore(infra.database)
    counts = RequestCounts(store)
    return Usage(
        counts=counts,
        routers=(routes.create_router(usage=UsageView(infra.bus, store), operations=operations),),
        loops=create_usage_loops(counts, store, flush_s=infra.settings.usage_flush_s),
    )
