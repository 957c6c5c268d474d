"""The queue by user, and trends, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.messaging.bus import Bus
from contracts.auth.tiers import Tier
from contracts.scheduler.queue import READ_QUEUE, QueueOrder, ReadQueue
from contracts.scheduler.trends import MAX_HOURS, READ_TRENDS, ReadTrends
from gateway.admin.operation_routes import Limit
from gateway.admin.queue_schemas import QueueBody, TrendsBody, build_queue_body, build_trends_body
from gateway.admin.usernames import UsernameDirectory
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Admin
from gateway.edge.timestamps import QueryTimestamp

Order = Annotated[
    QueueOrder, Query(description="`fair`: as the scheduler serves them; `queued`: most waiting jobs first")
]

Hours = Annotated[
    float,
    Query(
        gt=0,
        le=MAX_HOURS,
        allow_inf_nan=False,
        description="length of the window that ends at `to`, unless `from` is set",
    ),
]
Start = Annotated[QueryTimestamp | None, Query(alias="from", description="beginning of the window")]
Step = Annotated[
    int | None,
    Query(
        ge=60,
        le=86_400,
        description="seconds per bucket, rounded up to 1, 5, 10, 15 or 30 minutes or 1, 2, 6, 12 or 24 hours, and"
        " further for at most 500 buckets; absent: at most 120 buckets",
    ),
]


def create_router(*, bus: Bus, usernames: UsernameDirectory) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/queue", summary="Read the queue by user, in fair order", responses=declare_problems())
    async def read_queue(
        principal: Admin,
        *,
        order: Order = QueueOrder.FAIR,
        tier: Annotated[Tier | None, Query(description="only users of this tier")] = None,
        tenant: Annotated[UUID | None, Query(description="only the user with this id")] = None,
        limit: Limit = 50,
    ) -> QueueBody:
        """Users with waiting jobs, and why the first job of each waits. Cached up to 2 s.

        Users whose jobs cannot start now, for example at their limit of running jobs, come last in the fair order.
        ``GET /admin/jobs?status=pending&tenant=`` lists the jobs of one user.
        """
        query = ReadQueue(order=order, tier=tier, tenant_id=tenant, limit=limit)
        queue = await bus.request(READ_QUEUE, query, tenant=principal.tenant)
        names = await usernames.read_usernames((queued.tenant_id for queued in queue.tenants), admin=principal.tenant)
        return build_queue_body(queue, names)

    @routes.get("/trends", summary="Read the trends of the fleet", responses=declare_problems())
    async def read_trends(
        principal: Admin,
        *,
        hours: Hours = 24,
        start: Start = None,
        end: Annotated[QueryTimestamp | None, Query(alias="to", description="end of the window; now if absent")] = None,
        step: Step = None,
    ) -> TrendsBody:
        """Jobs, waits, failures and nodes of a window, at most 31 days. Cached up to 10 s.

        Times are rounded down to whole buckets. A window that begins more than about two days ago has buckets of an
        hour or longer. Jobs that are deleted within a minute of their end are not counted.
        """
        query = ReadTrends(hours=hours, start=start, end=end, step_s=step)
        return build_trends_body(await bus.request(READ_TRENDS, query, tenant=principal.tenant))

    return routes
