"""Users and tiers, for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from chassis.messaging.bus import Bus
from contracts.auth.accounts import CHANGE_USER, PREVIEW_USER_CHANGE, ChangeUser, LastAdmin, Role, UnknownUser
from contracts.auth.erasure import ERASE_USER, EraseUser
from contracts.auth.tiers import CHANGE_TIER, LIST_TIERS, PREVIEW_TIER_CHANGE, ChangeTier, ListTiers, Tier
from gateway.accounts.requests import TierPatch, UserPatch
from gateway.accounts.schemas import AccountBody, AccountsBody, TierBody, TiersBody, build_account_body, build_tier_body
from gateway.admin.dry_run import DryRun, DryRunBody, build_dry_run_body
from gateway.admin.errors import UnknownTier
from gateway.admin.users import UserDirectory, parse_user_id
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Admin
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

_USER_PATCH = {"tier": "pro", "limits": {"images_per_day": 5000, "queue_cap": None, "graph_policy": "open"}}
_TIER_PATCH = {"limits": {"requests_per_minute": 240, "run_seconds": 1800}}

Body = Annotated[Any, Depends(read_json_body)]


async def change_or_preview_user(
    bus: Bus, command: ChangeUser, *, admin: str, dry_run: bool
) -> AccountBody | DryRunBody:
    """Change a user and return it, or return only what would happen."""
    if dry_run:
        return build_dry_run_body(await bus.request(PREVIEW_USER_CHANGE, command, tenant=admin))
    return build_account_body(await bus.request(CHANGE_USER, command, tenant=admin))


async def change_or_preview_tier(bus: Bus, command: ChangeTier, *, admin: str, dry_run: bool) -> TierBody | DryRunBody:
    """Change a tier and return it, or return only what would happen."""
    if dry_run:
        return build_dry_run_body(await bus.request(PREVIEW_TIER_CHANGE, command, tenant=admin))
    return build_tier_body(await bus.request(CHANGE_TIER, command, tenant=admin))


def create_router(*, bus: Bus, users: UserDirectory) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/users", summary="List users, newest first", responses=declare_problems(BadCursor))
    async def list_users(
        principal: Admin,
        *,
        search: Annotated[
            str | None, Query(min_length=1, max_length=100, description="part of the username or e-mail address")
        ] = None,
        tier: Annotated[Tier | None, Query(description="only users in this tier")] = None,
        role: Annotated[Role | None, Query(description="only users with this role")] = None,
        is_active: Annotated[bool | None, Query(description="only active, or only deactivated users")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
    ) -> AccountsBody:
        accounts, next_cursor = await users.list_users(
            admin=principal.tenant,
            search=search,
            tier=tier,
            role=role,
            is_active=is_active,
            limit=limit,
            cursor=cursor,
        )
        return AccountsBody(users=[build_account_body(account) for account in accounts], next_cursor=next_cursor)

    @routes.get("/users/{user_id}", summary="Read a user", responses=declare_problems(UnknownUser))
    async def read_user(principal: Admin, user_id: str) -> AccountBody:
        return build_account_body(await users.read_user(user_id, admin=principal.tenant))

    @routes.patch(
        "/users/{user_id}",
        summary="Change a user",
        openapi_extra=describe_request_body(UserPatch, example=_USER_PATCH),
        responses=declare_problems(UnknownUser, LastAdmin, *JSON_BODY),
    )
    async def change_user(
        principal: Admin, user_id: str, body: Body, request: Request, *, dry_run: DryRun = False
    ) -> AccountBody | DryRunBody:
        """Takes effect everywhere within a second. A deactivated user is refused with every credential."""
        subject, parsed = parse_user_id(user_id), validate_model(UserPatch, body)
        command = ChangeUser(
            user_id=subject,
            tier=parsed.tier,
            role=parsed.role,
            is_active=parsed.is_active,
            limits=parsed.limits.to_patch() if parsed.limits is not None else None,
            shares_quota=parsed.shares_quota,
            ip=request.state.client_ip,
        )
        return await change_or_preview_user(bus, command, admin=principal.tenant, dry_run=dry_run)

    @routes.delete(
        "/users/{user_id}", status_code=204, summary="Erase a user", responses=declare_problems(UnknownUser, LastAdmin)
    )
    async def erase_user(principal: Admin, user_id: str, request: Request) -> None:
        """Deletes everything for good: credentials at once, data within seconds."""
        command = EraseUser(user_id=parse_user_id(user_id), ip=request.state.client_ip)
        await bus.request(ERASE_USER, command, tenant=principal.tenant)

    @routes.get("/tiers", summary="List tiers", responses=declare_problems())
    async def list_tiers(principal: Admin) -> TiersBody:
        found = (await bus.request(LIST_TIERS, ListTiers(), tenant=principal.tenant)).tiers
        return TiersBody(tiers=[build_tier_body(tier) for tier in found])

    @routes.patch(
        "/tiers/{name}",
        summary="Change the limits of a tier",
        openapi_extra=describe_request_body(TierPatch, example=_TIER_PATCH),
        responses=declare_problems(UnknownTier, *JSON_BODY),
    )
    async def change_tier(
        principal: Admin, name: str, body: Body, request: Request, *, dry_run: DryRun = False
    ) -> TierBody | DryRunBody:
        """Takes effect within a second for all users of the tier who have no individual limits."""
        if name not in set(Tier):
            raise UnknownTier
        limits = validate_model(TierPatch, body).limits.to_patch()
        command = ChangeTier(tier=Tier(name), limits=limits, ip=request.state.client_ip)
        return await change_or_preview_tier(bus, command, admin=principal.tenant, dry_run=dry_run)

    return routes
