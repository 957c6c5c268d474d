"""What was used by day."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from contracts.scheduler.usage import USAGE_DAYS
from gateway.admin.list_users import user_id_of
from gateway.admin.operation_routes import acting
from gateway.admin.operations import Operations
from gateway.api.v1.problems import problems
from gateway.edge.access import Admin, Reader
from gateway.usage.schemas import UsageBody
from gateway.usage.service import UsageView

Days = Annotated[int, Query(ge=1, le=USAGE_DAYS, description="so many UTC days, today included")]


def router(*, usage: UsageView, operations: Operations) -> APIRouter:
    """The routes of usage."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/usage", tags=["usage"], summary="Own use by day, newest first", responses=problems(422))
    async def own(tenant: Reader, days: Days = USAGE_DAYS) -> UsageBody:
        """Requests may be some seconds late."""
        return await usage.read(UUID(tenant), days=days)

    @routes.get("/admin/usage", tags=["admin"], summary="Everybody's use by day", responses=problems(422))
    async def everybodys(_who: Admin, days: Days = USAGE_DAYS) -> UsageBody:
        """Of all users together."""
        return await usage.read(None, days=days)

    @routes.get(
        "/admin/users/{user_id}/usage", tags=["admin"], summary="A user's use by day", responses=problems(404, 422)
    )
    async def of_user(who: Admin, user_id: str, request: Request, days: Days = USAGE_DAYS) -> UsageBody:
        """Empty for a user that nobody knows, too."""
        subject = user_id_of(user_id)
        await operations.record(acting(who, request), "usage.read", subject_id=subject)
        return await usage.read(subject, days=days)

    return routes
