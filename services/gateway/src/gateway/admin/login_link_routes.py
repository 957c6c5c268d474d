"""Login links for users, created by admins."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from chassis.messaging.bus import Bus
from contracts.auth.accounts import UnknownUser
from contracts.auth.login_links import CREATE_LOGIN_LINK, CreateLoginLink, UserInactive
from gateway.accounts.errors import SessionNeeded, require_session
from gateway.admin.users import parse_user_id
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Admin

_TOKEN = "cfl_3q2-7wTgD0c5v9Jm1aYk8PzXhRnQeLs4uVbWoKtE6iA"  # noqa: S105 - an example


class LoginLinkBody(BaseModel):
    """A login link. ``token`` works once, until ``expires_at``, and is shown only in this response.

    ``url``: the console with the token in the fragment, which browsers do not send.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": _TOKEN,
                    "url": f"https://api.example/#sign-in={_TOKEN}",
                    "expires_at": "2026-11-23T09:10:00Z",
                }
            ]
        }
    )

    token: str
    url: str
    expires_at: datetime


def create_router(*, bus: Bus, public_url: str) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin/users", tags=["admin"])

    @routes.post(
        "/{user_id}/login-links",
        status_code=201,
        summary="Create a login link for a user",
        responses=declare_problems(SessionNeeded, UnknownUser, UserInactive),
    )
    async def create_login_link(principal: Admin, user_id: str, request: Request) -> LoginLinkBody:
        """Logs the user in once without a password, for example when it is forgotten.

        Needs the access token of a login: an API key cannot turn itself into a session.
        """
        require_session(principal)
        command = CreateLoginLink(user_id=parse_user_id(user_id), ip=request.state.client_ip)
        created = await bus.request(CREATE_LOGIN_LINK, command, tenant=principal.tenant)
        token = created.token.get_secret_value()
        return LoginLinkBody(token=token, url=f"{public_url}/#sign-in={token}", expires_at=created.expires_at)

    return routes
