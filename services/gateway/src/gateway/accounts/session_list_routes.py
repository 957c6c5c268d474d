"""The sessions of the current user."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.sessions import LIST_SESSIONS, REVOKE_SESSION, ListSessions, RevokeSession, UnknownSession
from gateway.accounts.errors import SessionNeeded, require_session
from gateway.accounts.schemas import SessionsBody, build_sessions_body
from gateway.accounts.session_cookie import SessionCookie
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import AnyPrincipal


def create_router(*, bus: Bus, cookie: SessionCookie) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth/sessions", tags=["auth"])

    @routes.get("", summary="List own sessions, newest first", responses=declare_problems(SessionNeeded))
    async def list_sessions(principal: AnyPrincipal) -> SessionsBody:
        """Active sessions, at most the newest 100. ``current``: the session of this request."""
        require_session(principal)
        listed = await bus.request(LIST_SESSIONS, ListSessions(only_active=True), tenant=principal.tenant)
        return build_sessions_body(listed.sessions, current=principal.session_id)

    @routes.delete(
        "/{session_id}",
        status_code=204,
        summary="End a session",
        responses=declare_problems(SessionNeeded, UnknownSession),
    )
    async def end_session(principal: AnyPrincipal, session_id: str, request: Request, response: Response) -> None:
        """Idempotent. The session's refresh token stops working at once, its access token within a second."""
        require_session(principal)
        try:
            parsed = UUID(session_id)
        except ValueError:
            raise UnknownSession from None
        command = RevokeSession(session_id=parsed, ip=request.state.client_ip)
        await bus.request(REVOKE_SESSION, command, tenant=principal.tenant)
        if parsed == principal.session_id:
            cookie.delete_cookie(request, response)

    return routes
