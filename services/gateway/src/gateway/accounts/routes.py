"""Accounts: register, change the password, erase the account."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

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
from contracts.auth.erasure import ERASE_ACCOUNT, EraseAccount
from contracts.auth.invites import InvalidInvite, InviteRequired
from contracts.auth.sessions import InvalidLogin, TooManyLogins
from gateway.accounts.errors import SessionNeeded, require_session
from gateway.accounts.requests import EraseRequest, PasswordRequest, RegisterRequest
from gateway.accounts.schemas import UserBody, build_user_body
from gateway.accounts.session_cookie import SessionCookie
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems, declare_public_problems
from gateway.edge.access import AnyPrincipal
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

_ADA = {"username": "ada", "password": "correct horse battery staple"}
_PASSWORDS = {"current_password": _ADA["password"], "new_password": "seventeen blue lanterns at sea"}

Body = Annotated[Any, Depends(read_json_body)]


def create_router(*, bus: Bus, cookie: SessionCookie) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth", tags=["auth"])

    @routes.post(
        "/register",
        status_code=201,
        summary="Create an account",
        openapi_extra=describe_request_body(RegisterRequest, example=_ADA | {"email": "ada@example.com"}),
        responses=declare_public_problems(
            RegistrationClosed, InviteRequired, InvalidInvite, InvalidAccount, AccountTaken, TooManyLogins, *JSON_BODY
        ),
    )
    async def register_account(request: Request, body: Body) -> UserBody:
        """The account has the tier ``free``, or the tier of the invite. Log in to get an access token.

        A server may require an invite, or have registration closed. By default an address can create 5 accounts an
        hour.
        """
        parsed = validate_model(RegisterRequest, body)
        command = Register(
            username=parsed.username,
            email=parsed.email,
            password=parsed.password,
            invite=parsed.invite,
            ip=request.state.client_ip,
        )
        return build_user_body(await bus.request(REGISTER, command))

    @routes.post(
        "/password",
        status_code=204,
        summary="Change the password",
        openapi_extra=describe_request_body(PasswordRequest, example=_PASSWORDS),
        responses=declare_problems(SessionNeeded, InvalidLogin, InvalidAccount, TooManyLogins, *JSON_BODY),
    )
    async def change_password(principal: AnyPrincipal, request: Request, body: Body) -> None:
        """Ends all other sessions of the user."""
        require_session(principal)
        parsed = validate_model(PasswordRequest, body)
        command = ChangePassword(
            current_password=parsed.current_password,
            new_password=parsed.new_password,
            session_id=principal.session_id,
            ip=request.state.client_ip,
        )
        await bus.request(CHANGE_PASSWORD, command, tenant=principal.tenant)

    @routes.delete(
        "/me",
        status_code=204,
        summary="Erase the account",
        openapi_extra=describe_request_body(EraseRequest, example={"password": _ADA["password"]}),
        responses=declare_problems(SessionNeeded, InvalidLogin, LastAdmin, TooManyLogins, *JSON_BODY),
    )
    async def erase_own_account(principal: AnyPrincipal, request: Request, response: Response, body: Body) -> None:
        """Deletes everything for good: credentials at once; jobs, results, uploads and saved workflows within seconds.

        Running jobs are cancelled. Export what you want to keep first: `GET /api/v1/auth/me/export`.
        """
        require_session(principal)
        command = EraseAccount(password=validate_model(EraseRequest, body).password, ip=request.state.client_ip)
        await bus.request(ERASE_ACCOUNT, command, tenant=principal.tenant)
        cookie.delete_cookie(request, response)

    return routes
