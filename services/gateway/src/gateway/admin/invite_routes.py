"""Invites, for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.invites import CREATE_INVITE, REVOKE_INVITE, CreateInvite, InviteUsed, RevokeInvite, UnknownInvite
from gateway.admin.access_requests import InviteRequest
from gateway.admin.access_schemas import CreatedInviteBody, InvitesBody, build_created_invite_body, build_invites_body
from gateway.admin.invites import InviteDirectory, parse_invite_id
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Admin
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

_EXAMPLE = {"tier": "basic", "expires_in_days": 7}
_HEADERS: dict[str, Any] = {"Location": {"description": "URL path of the invite.", "schema": {"type": "string"}}}


def create_router(*, bus: Bus, invites: InviteDirectory) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin/invites", tags=["admin"])

    @routes.post(
        "",
        status_code=201,
        summary="Create an invite",
        openapi_extra=describe_request_body(InviteRequest, example=_EXAMPLE),
        responses={201: {"headers": _HEADERS}, **declare_problems(*JSON_BODY)},
    )
    async def create_invite(
        principal: Admin, body: Annotated[Any, Depends(read_json_body)], request: Request, response: Response
    ) -> CreatedInviteBody:
        """An invite lets one person register with the tier it names. The token is shown only in this response."""
        parsed = validate_model(InviteRequest, body)
        command = CreateInvite(tier=parsed.tier, expires_in_days=parsed.expires_in_days, ip=request.state.client_ip)
        created = await bus.request(CREATE_INVITE, command, tenant=principal.tenant)
        response.headers["Location"] = f"/api/v1/admin/invites/{created.invite.id}"
        return build_created_invite_body(created)

    @routes.get("", summary="List invites, newest first", responses=declare_problems(BadCursor))
    async def list_invites(
        principal: Admin,
        *,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
    ) -> InvitesBody:
        """Includes used and expired invites, until 90 days after they expired."""
        found, next_cursor = await invites.list_invites(admin=principal.tenant, limit=limit, cursor=cursor)
        return build_invites_body(found, next_cursor)

    @routes.delete(
        "/{invite_id}",
        status_code=204,
        summary="Revoke an invite",
        responses=declare_problems(UnknownInvite, InviteUsed),
    )
    async def revoke_invite(principal: Admin, invite_id: str, request: Request) -> None:
        """The invite expires immediately. Idempotent. An invite that has created an account cannot be revoked."""
        command = RevokeInvite(invite_id=parse_invite_id(invite_id), ip=request.state.client_ip)
        await bus.request(REVOKE_INVITE, command, tenant=principal.tenant)

    return routes
