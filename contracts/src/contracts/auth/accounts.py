"""Accounts: registration, passwords, what admins read and change about users, and tenants."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret
from contracts.auth.rpc import PASSWORD_HASH_TIMEOUT_S, declare_auth_rpc
from contracts.auth.tiers import Limits, LimitsPatch, Tier
from contracts.preview import Preview
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

PASSWORD_MAX = 256  # characters, and at most 1,024 bytes of UTF-8


class Role(StrEnum):
    """The role of a user; it decides which scopes the user can have."""

    USER = "user"
    ADMIN = "admin"


class Tenant(TolerantModel):
    """A tenant with the limits that the scheduler enforces.

    Attributes:
        quota_group: group of tenants that share one daily image quota; None if the tenant has its own.
    """

    tenant_id: UUID
    tier: Tier
    is_active: bool
    limits: Limits
    quota_group: UUID | None = None


class User(TolerantModel):
    """An account as its owner and admins see it."""

    id: UUID
    username: str
    email: str
    tier: Tier
    role: Role
    is_active: bool
    created_at: datetime


class Account(TolerantModel):
    """A user with its effective limits: own limits take precedence over those of its tier.

    Attributes:
        shares_quota: whether it shares its daily image quota with accounts that registered from the same address.
    """

    user: User
    limits: Limits
    own_limits: tuple[str, ...] = ()
    shares_quota: bool = False


class ReadTenant(StrictModel):
    """Get the limits of the tenant in the subject."""


class ReadAccount(StrictModel):
    """Get the account of the tenant in the subject."""


class Register(StrictModel):
    """Create an account in the tier of the invite, or in tier ``free`` if there is no invite."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    email: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    invite: Secret | None = None
    ip: Ip | None = None


class ChangePassword(StrictModel):
    """Set a new password and end every other session of the user."""

    current_password: Secret
    new_password: Secret
    session_id: UUID | None = None
    ip: Ip | None = None


class ListUsers(StrictModel):
    """List users, newest first.

    Attributes:
        user_id: return only this user.
        search: part of a username or email address.
        before: the last ``user_id`` of the previous page.
    """

    user_id: UUID | None = None
    search: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    tier: Tier | None = None
    role: Role | None = None
    is_active: bool | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None


class UserPage(TolerantModel):
    """One page of accounts."""

    accounts: tuple[Account, ...]
    more: bool


class ReadUsernames(StrictModel):
    """Get the names of users by id."""

    user_ids: Annotated[tuple[UUID, ...], Field(max_length=1000)]


class Usernames(TolerantModel):
    """Names by user id. Users that do not exist or were erased are left out."""

    usernames: dict[UUID, str]


class ChangeUser(StrictModel):
    """Change an account. Fields that are None stay unchanged.

    ``limits`` replaces all own limits. A shared quota can be ended but not created.
    """

    user_id: UUID
    tier: Tier | None = None
    role: Role | None = None
    is_active: bool | None = None
    limits: LimitsPatch | None = None
    shares_quota: Literal[False] | None = None
    ip: Ip | None = None


class UnknownTenant(Refusal):
    """This account does not exist or is deactivated. Ask an administrator."""

    kind, code = ErrorKind.FORBIDDEN, "auth.tenant.unknown"


class InvalidAccount(Refusal):
    """The account cannot be created with these values. See the field "errors" for each one and what is valid."""

    kind, code = ErrorKind.INVALID, "auth.account.invalid"


class AccountTaken(Refusal):
    """The username or the e-mail address is already in use. Choose another one, or log in."""

    kind, code = ErrorKind.CONFLICT, "auth.account.taken"


class UnknownUser(Refusal):
    """There is no such user. GET /api/v1/admin/users lists all."""

    kind, code = ErrorKind.NOT_FOUND, "auth.user.not_found"


class LastAdmin(Refusal):
    """This is the last active administrator. Give another user the role first."""

    kind, code = ErrorKind.CONFLICT, "auth.user.last_admin"


class Registration(StrEnum):
    """Who may register: everybody, holders of an invite, or nobody."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class RegistrationClosed(Refusal):
    """Registration is closed on this server. Ask an administrator for an account."""

    kind, code = ErrorKind.FORBIDDEN, "auth.registration.closed"


READ_TENANT = declare_auth_rpc(
    "tenant", "read", ReadTenant, Tenant, "Read tier and limits of a tenant.", producers=("scheduler",)
)
READ_ACCOUNT = declare_auth_rpc(
    "account", "read", ReadAccount, Account, "Read an account and its limits.", timeout_s=1.5
)
REGISTER = declare_auth_rpc("account", "make", Register, User, "Create an account.", timeout_s=PASSWORD_HASH_TIMEOUT_S)
CHANGE_PASSWORD = declare_auth_rpc(
    "password", "change", ChangePassword, Done, "Change the password of an account.", timeout_s=PASSWORD_HASH_TIMEOUT_S
)
LIST_USERS = declare_auth_rpc("user", "list", ListUsers, UserPage, "An admin lists users.")
READ_USERNAMES = declare_auth_rpc(
    "user", "names", ReadUsernames, Usernames, "Read names of users, for admins.", timeout_s=1.5
)
CHANGE_USER = declare_auth_rpc("user", "change", ChangeUser, Account, "An admin changes a user.")
PREVIEW_USER_CHANGE = declare_auth_rpc(
    "user", "preview", ChangeUser, Preview, "An admin asks what a change of a user would do."
)

TOPICS = (
    READ_TENANT,
    READ_ACCOUNT,
    REGISTER,
    CHANGE_PASSWORD,
    LIST_USERS,
    READ_USERNAMES,
    CHANGE_USER,
    PREVIEW_USER_CHANGE,
)
