"""Login links: single-use tokens that log a user in without a password."""

from datetime import datetime
from uuid import UUID

from contracts.auth.fields import Ip, Secret, UserAgent
from contracts.auth.rpc import declare_auth_rpc
from contracts.auth.sessions import SessionTokens
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

LOGIN_LINK_LIFETIME_S = 600


class CreateLoginLink(StrictModel):
    """Create a login link for a user. It expires after ``LOGIN_LINK_LIFETIME_S`` seconds."""

    user_id: UUID
    ip: Ip | None = None


class CreatedLoginLink(TolerantModel):
    """The token of a new login link. It is returned only here."""

    token: Secret
    expires_at: datetime


class RedeemLoginLink(StrictModel):
    """Exchange the token of a login link for a session of its user. It works once."""

    token: Secret
    ip: Ip | None = None
    user_agent: UserAgent | None = None


class InvalidLoginLink(Refusal):
    """The login link is unknown, expired or already used. Ask for a new one, or log in with your password."""

    kind, code = ErrorKind.UNAUTHENTICATED, "auth.login_link.invalid"


class UserInactive(Refusal):
    """This user is deactivated and cannot log in. Activate it first."""

    kind, code = ErrorKind.CONFLICT, "auth.user.inactive"


CREATE_LOGIN_LINK = declare_auth_rpc(
    "login_link", "create", CreateLoginLink, CreatedLoginLink, "An admin creates a login link for a user."
)
REDEEM_LOGIN_LINK = declare_auth_rpc(
    "login_link", "redeem", RedeemLoginLink, SessionTokens, "Log in with a login link."
)

TOPICS = (CREATE_LOGIN_LINK, REDEEM_LOGIN_LINK)
