"""Accounts and sessions: register, log in and out, change the password, erase the account."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from chassis.messaging.bus import Bus
from contracts.auth.accounts import (
    CHANGE_PASSWORD,
    REGISTER,
    AccountTaken,
    ChangePassword,
    InvalidAccount,
    LastAdmin,
    Register,
    RegistrationClosed,
)
from contracts.auth.credentials import Principal
from contracts.auth.erasure import ERASE_ACCOUNT, EraseAccount
from contracts.auth.invites import InvalidInvite, InviteRequired
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
from gateway.accounts.errors import SessionNeeded
from gateway.accounts.requests import (
    EraseRequest,
    LoginForm,
    LoginRequest,
    PasswordRequest,
    RefreshRequest,
    RegisterRequest,
)
from gateway.accounts.schemas import SessionBody, UserBody, present_session, present_user
from gateway.api.v1.openapi import documented
from gateway.api.v1.problems import JSON_BODY, open_problems, problems
from gateway.edge.access import AnyPrincipal
from gateway.edge.json_body import read_model
from gateway.edge.request_body import form_body, json_body

FORM = "application/x-www-form-urlencoded"

_ADA = {"username": "ada", "password": "correct horse battery staple"}
_REFRESH = {"refresh_token": "cfr_…"}
_PASSWORDS = {"current_password": _ADA["password"], "new_password": "seventeen blue lanterns at sea"}

Body = Annotated[Any, Depends(json_body)]


async def login_body(request: Request) -> LoginRequest:
    """Username and password, from JSON or an OAuth2 form."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == FORM:
        return read_model(LoginForm, await form_body(request))
    return read_model(LoginRequest, await json_body(request))


def router(*, bus: Bus) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth", tags=["auth"])

    @routes.post(
        "/register",
        status_code=201,
        summary="Create an account",
        openapi_extra=documented(RegisterRequest, example=_ADA | {"email": "ada@example.com"}),
        responses=open_problems(
            RegistrationClosed, InviteRequired, InvalidInvite, InvalidAccount, AccountTaken, TooManyLogins, *JSON_BODY
        ),
    )
    async def register_account(request: Request, body: Body) -> UserBody:
        """The account has the tier ``free``, or the tier of the invite. Log in to get an access token.

        A server may require an invite, or have registration closed. By default an address can create 5 accounts an
        hour.
        """
        parsed = read_model(RegisterRequest, body)
        command = Register(
            username=parsed.username,
            email=parsed.email,
            password=parsed.password,
            invite=parsed.invite,
            ip=request.state.client_ip,
        )
        return present_user(await bus.request(REGISTER, command))

    @routes.post(
        "/login",
        summary="Log in",
        openapi_extra=documented(LoginRequest, FORM, example=_ADA),
        responses=open_problems(InvalidLogin, TooManyLogins, *JSON_BODY),
    )
    async def log_in(request: Request, parsed: Annotated[LoginRequest, Depends(login_body)]) -> SessionBody:
        """``username`` can be the e-mail address. The access token expires after minutes; refresh it."""
        command = OpenSession(username=parsed.username, password=parsed.password, ip=request.state.client_ip)
        return present_session(await bus.request(OPEN_SESSION, command))

    @routes.post(
        "/refresh",
        summary="Refresh a session",
        openapi_extra=documented(RefreshRequest, example=_REFRESH),
        responses=open_problems(InvalidRefreshToken, *JSON_BODY),
    )
    async def refresh_session(request: Request, body: Body) -> SessionBody:
        """A refresh token works once. Using it again ends the whole session."""
        token = read_model(RefreshRequest, body).refresh_token
        command = RefreshSession(refresh_token=token, ip=request.state.client_ip)
        return present_session(await bus.request(REFRESH_SESSION, command))

    @routes.post("/logout", status_code=204, summary="Log out", responses=problems(SessionNeeded))
    async def log_out(
        who: AnyPrincipal,
        request: Request,
        *,
        everywhere: Annotated[bool, Query(alias="all", description="end every session of the user")] = False,
    ) -> None:
        """Ends this session and revokes its access token; with ``?all=true`` end every session of the user.

        API keys stay valid.
        """
        _require_session(who)
        session_id = None if everywhere else who.session_id
        command = EndSession(session_id=session_id, ip=request.state.client_ip)
        await bus.request(END_SESSION, command, tenant=who.tenant)

    @routes.post(
        "/password",
        status_code=204,
        summary="Change the password",
        openapi_extra=documented(PasswordRequest, example=_PASSWORDS),
        responses=problems(SessionNeeded, InvalidLogin, InvalidAccount, TooManyLogins, *JSON_BODY),
    )
    async def change_password(who: AnyPrincipal, request: Request, body: Body) -> None:
        """Ends all other sessions of the user."""
        _require_session(who)
        parsed = read_model(PasswordRequest, body)
        command = ChangePassword(
            current_password=parsed.current_password,
            new_password=parsed.new_password,
            session_id=who.session_id,
            ip=request.state.client_ip,
        )
        await bus.request(CHANGE_PASSWORD, command, tenant=who.tenant)

    @routes.delete(
        "/me",
        status_code=204,
        summary="Erase the account",
        openapi_extra=documented(EraseRequest, example={"password": _ADA["password"]}),
        responses=problems(SessionNeeded, InvalidLogin, LastAdmin, TooManyLogins, *JSON_BODY),
    )
    async def erase_own_account(who: AnyPrincipal, request: Request, body: Body) -> None:
        """Deletes everything for good: credentials at once; jobs, results, uploads and saved workflows within seconds.

        Running jobs are cancelled. Export what you want to keep first: `GET /api/v1/auth/me/export`.
        """
        _require_session(who)
        command = EraseAccount(password=read_model(EraseRequest, body).password, ip=request.state.client_ip)
        await bus.request(ERASE_ACCOUNT, command, tenant=who.tenant)

    return routes


def _require_session(who: Principal) -> None:
    if who.session_id is None:
        raise SessionNeeded
