"""Usage by day."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from contracts.auth.accounts import UnknownUser
from contracts.scheduler.usage import USAGE_DAYS
from gateway.admin.operation_routes import build_admin_context
from gateway.admin.operations import AdminActions
from gateway.admin.users import parse_user_id
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Admin, Reader
from gateway.usage.schemas import UsageBody
from gateway.usage.service import UsageView

Days = Annotated[int, Query(ge=1, le=USAGE_DAYS, description="number of UTC days, including today")]


def create_router(*, usage: UsageView, operations: AdminActions) -> APIRouter:
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/usage", tags=["usage"], summary="Read own usage by day, newest first", responses=declare_problems())
    async def read_own_usage(tenant: Reader, days: Days = USAGE_DAYS) -> UsageBody:
        """Request counts can be some seconds late."""
        return await usage.read_usage(UUID(tenant), days=days)

    @routes.get("/admin/usage", tags=["admin"], summary="Read usage of all users by day", responses=declare_problems())
    async def read_total_usage(_principal: Admin, days: Days = USAGE_DAYS) -> UsageBody:
        """The sum over all users."""
        return await usage.read_usage(None, days=days)

    @routes.get(
        "/admin/users/{user_id}/usage",
        tags=["admin"],
        summary="Read usage of a user by day",
        responses=declare_problems(UnknownUser),
    )
    async def read_user_usage(principal: Admin, user_id: str, request: Request, days: Days = USAGE_DAYS) -> UsageBody:
        """Empty for an unknown user."""
        subject = parse_user_id(user_id)
        await operations.record_action(build_admin_context(principal, request), "usage.read", subject_id=subject)
        return await usage.read_usage(subject, days=days)

    return routes
