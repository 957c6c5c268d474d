"""Users and tiers, for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from chassis.messaging.bus import Bus
from contracts.auth.accounts import CHANGE_USER, ChangeUser, Role
from contracts.auth.erasure import ERASE_USER, EraseUser
from contracts.auth.tiers import CHANGE_TIER, LIST_TIERS, ChangeTier, ListTiers, Tier
from gateway.accounts.requests import TierPatch, UserPatch
from gateway.accounts.schemas import AccountBody, AccountsBody, TierBody, TiersBody, present_account, present_tier
from gateway.admin.list_users import list_users, read_user, user_id_of
from gateway.api.v1.openapi import documented
from gateway.api.v1.problems import BODY, problems
from gateway.edge.access import Admin
from gateway.edge.json_body import read_model
from gateway.edge.request_body import json_body
from gateway.errors import UnknownTier

_USER_PATCH = {"tier": "pro", "limits": {"images_per_day": 5000, "queue_cap": None, "graph_policy": "open"}}
_TIER_PATCH = {"limits": {"requests_per_minute": 240, "run_seconds": 1800}}

Body = Annotated[Any, Depends(json_body)]


def router(*, bus: Bus, cursor_key: bytes) -> APIRouter:
    """The routes of users and tiers."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/users", summary="List users, newest first", responses=problems(422))
    async def list_(
        who: Admin,
        *,
        search: Annotated[
            str | None, Query(min_length=1, max_length=100, description="a part of username or e-mail address")
        ] = None,
        tier: Annotated[Tier | None, Query(description="only users of this tier")] = None,
        role: Annotated[Role | None, Query(description="only users of this role")] = None,
        is_active: Annotated[bool | None, Query(description="only those who may, or may not, come in")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
    ) -> AccountsBody:
        accounts, next_cursor = await list_users(
            admin=who.tenant,
            search=search,
            tier=tier,
            role=role,
            is_active=is_active,
            limit=limit,
            cursor=cursor,
            key=cursor_key,
            bus=bus,
        )
        return AccountsBody(users=[present_account(account) for account in accounts], next_cursor=next_cursor)

    @routes.get("/users/{user_id}", summary="Read a user", responses=problems(404))
    async def read(who: Admin, user_id: str) -> AccountBody:
        return present_account(await read_user(user_id, admin=who.tenant, bus=bus))

    @routes.patch(
        "/users/{user_id}",
        summary="Change a user",
        openapi_extra=documented(UserPatch, example=_USER_PATCH),
        responses=problems(404, 409, *BODY),
    )
    async def change(who: Admin, user_id: str, body: Body, request: Request) -> AccountBody:
        """Holds everywhere within a second. Whoever is deactivated is refused, whatever credential it has."""
        subject, asked = user_id_of(user_id), read_model(UserPatch, body)
        command = ChangeUser(
            user_id=subject,
            tier=asked.tier,
            role=asked.role,
            is_active=asked.is_active,
            limits=asked.limits.some() if asked.limits is not None else None,
            shares_quota=asked.shares_quota,
            ip=request.state.client_ip,
        )
        return present_account(await bus.request(CHANGE_USER, command, tenant=who.tenant))

    @routes.delete("/users/{user_id}", status_code=204, summary="Erase a user", responses=problems(404, 409))
    async def erase(who: Admin, user_id: str, request: Request) -> None:
        """Everywhere and for good: credentials at once, all that it has within seconds."""
        command = EraseUser(user_id=user_id_of(user_id), ip=request.state.client_ip)
        await bus.request(ERASE_USER, command, tenant=who.tenant)

    @routes.get("/tiers", summary="List tiers", responses=problems())
    async def tiers(who: Admin) -> TiersBody:
        found = (await bus.request(LIST_TIERS, ListTiers(), tenant=who.tenant)).tiers
        return TiersBody(tiers=[present_tier(tier) for tier in found])

    @routes.patch(
        "/tiers/{name}",
        summary="Change the limits of a tier",
        openapi_extra=documented(TierPatch, example=_TIER_PATCH),
        responses=problems(404, *BODY),
    )
    async def change_tier(who: Admin, name: str, body: Body, request: Request) -> TierBody:
        """Holds within a second for everybody in it who has no own limits."""
        if name not in set(Tier):
            raise UnknownTier
        limits = read_model(TierPatch, body).limits.some()
        command = ChangeTier(tier=Tier(name), limits=limits, ip=request.state.client_ip)
        return present_tier(await bus.request(CHANGE_TIER, command, tenant=who.tenant))

    return routes
