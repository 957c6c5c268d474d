"""The queue by user, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.messaging.bus import Bus
from contracts.auth.tiers import Tier
from contracts.scheduler.queue import READ_QUEUE, QueueOrder, ReadQueue
from gateway.admin.load_schemas import QueueBody, present_queue
from gateway.admin.operation_routes import Limit
from gateway.admin.usernames import UsernameDirectory
from gateway.api.v1.problems import problems
from gateway.edge.access import Admin

Order = Annotated[
    QueueOrder, Query(description="`fair`: as the scheduler serves them; `queued`: most waiting jobs first")
]


def router(*, bus: Bus, usernames: UsernameDirectory) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/queue", summary="Read the queue by user, in fair order", responses=problems())
    async def read_queue(
        who: Admin,
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
        queue = await bus.request(READ_QUEUE, query, tenant=who.tenant)
        names = await usernames.read_usernames((one.tenant_id for one in queue.tenants), admin=who.tenant)
        return present_queue(queue, names)

    return routes
