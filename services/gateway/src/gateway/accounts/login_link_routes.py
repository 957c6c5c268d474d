"""Log in with a login link."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.login_links import REDEEM_LOGIN_LINK, InvalidLoginLink, RedeemLoginLink
from gateway.accounts.errors import ForeignPage
from gateway.accounts.requests import LoginLinkRequest
from gateway.accounts.schemas import CookieSessionBody, SessionBody, build_session_body
from gateway.accounts.session_cookie import SET_COOKIE, SessionCookie
from gateway.accounts.user_agent import read_user_agent
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_public_problems
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

_EXAMPLE = {"token": "cfl_…", "session": "cookie"}


def create_router(*, bus: Bus, cookie: SessionCookie) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth/login-links", tags=["auth"])

    @routes.post(
        "/redeem",
        summary="Log in with a login link",
        openapi_extra=describe_request_body(LoginLinkRequest, example=_EXAMPLE),
        responses={200: SET_COOKIE, **declare_public_problems(InvalidLoginLink, ForeignPage, *JSON_BODY)},
    )
    async def redeem_login_link(
        request: Request, response: Response, body: Annotated[Any, Depends(read_json_body)]
    ) -> SessionBody | CookieSessionBody:
        """A login link works once, within ten minutes. The response is that of a login."""
        parsed = validate_model(LoginLinkRequest, body)
        if parsed.session == "cookie":
            cookie.require_own_page(request)
        command = RedeemLoginLink(token=parsed.token, ip=request.state.client_ip, user_agent=read_user_agent(request))
        session = await bus.request(REDEEM_LOGIN_LINK, command)
        return (
            cookie.set_cookie_and_build_body(response, session)
            if parsed.session == "cookie"
            else build_session_body(session)
        )

    return routes
