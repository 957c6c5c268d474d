"""Sessions: log in, refresh, log out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.sessions import (
    END_SESSION,
    OPEN_SESSION,
    REFRESH_SESSION,
    EndSession,
    InvalidLogin,
    InvalidRefreshToken,
    OpenSession,
    RefreshSession,
    TooManyLogins,
)
from gateway.accounts.errors import ForeignPage, SessionNeeded, require_session
from gateway.accounts.requests import Credentials, LoginForm, LoginRequest, RefreshRequest
from gateway.accounts.schemas import CookieSessionBody, SessionBody, build_session_body
from gateway.accounts.session_cookie import SET_COOKIE, SessionCookie
from gateway.accounts.user_agent import read_user_agent
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems, declare_public_problems
from gateway.edge.access import AnyPrincipal
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import has_body, read_form_body, read_json_body

FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"

_ADA = {"username": "ada", "password": "correct horse battery staple"}
_REFRESH = {"refresh_token": "cfr_…"}


async def read_login_body(request: Request) -> Credentials:
    """Username and password, from JSON or an OAuth2 form."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == FORM_MEDIA_TYPE:
        return validate_model(LoginForm, await read_form_body(request))
    return validate_model(LoginRequest, await read_json_body(request))


def create_router(*, bus: Bus, cookie: SessionCookie) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth", tags=["auth"])

    @routes.post(
        "/login",
        summary="Log in",
        openapi_extra=describe_request_body(LoginRequest, FORM_MEDIA_TYPE, example=_ADA),
        responses={200: SET_COOKIE, **declare_public_problems(InvalidLogin, TooManyLogins, ForeignPage, *JSON_BODY)},
    )
    async def log_in(
        request: Request, response: Response, parsed: Annotated[Credentials, Depends(read_login_body)]
    ) -> SessionBody | CookieSessionBody:
        """``username`` can be the e-mail address. The access token expires after minutes; refresh it.

        With `"session": "cookie"`, for pages of this server, the refresh token is not in the response but in a cookie.
        """
        in_cookie = isinstance(parsed, LoginRequest) and parsed.session == "cookie"
        if in_cookie:
            cookie.require_own_page(request)
        command = OpenSession(
            username=parsed.username,
            password=parsed.password,
            ip=request.state.client_ip,
            user_agent=read_user_agent(request),
        )
        session = await bus.request(OPEN_SESSION, command)
        return cookie.set_cookie_and_build_body(response, session) if in_cookie else build_session_body(session)

    @routes.post(
        "/refresh",
        summary="Refresh a session",
        openapi_extra=describe_request_body(RefreshRequest, required=False, example=_REFRESH),
        responses={200: SET_COOKIE, **declare_public_problems(InvalidRefreshToken, ForeignPage, *JSON_BODY)},
    )
    async def refresh_session(request: Request, response: Response) -> SessionBody | CookieSessionBody:
        """A refresh token works once. Using it again ends the whole session.

        Without a body the token is that of the cookie, which is replaced. Only pages of this server may use it.
        """
        in_cookie = not has_body(request)
        if in_cookie:
            token = cookie.read_refresh_token(request)
        else:
            token = validate_model(RefreshRequest, await read_json_body(request)).refresh_token
        command = RefreshSession(refresh_token=token, ip=request.state.client_ip, user_agent=read_user_agent(request))
        session = await bus.request(REFRESH_SESSION, command)
        return cookie.set_cookie_and_build_body(response, session) if in_cookie else build_session_body(session)

    @routes.post("/logout", status_code=204, summary="Log out", responses=declare_problems(SessionNeeded))
    async def log_out(
        principal: AnyPrincipal,
        request: Request,
        response: Response,
        *,
        everywhere: Annotated[bool, Query(alias="all", description="end every session of the user")] = False,
    ) -> None:
        """Ends this session and revokes its access token; with ``?all=true`` ends every session of the user.

        API keys stay valid. The browser deletes the cookie of a session.
        """
        require_session(principal)
        session_id = None if everywhere else principal.session_id
        command = EndSession(session_id=session_id, ip=request.state.client_ip)
        await bus.request(END_SESSION, command, tenant=principal.tenant)
        cookie.delete_cookie(request, response)

    return routes
