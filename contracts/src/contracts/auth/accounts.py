"""Accounts: registration, passwords, what admins read and change about users, and tenants."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret
from contracts.auth.rpc import PASSWORD_HASH_TIMEOUT_S, auth_rpc
from contracts.auth.tiers import Limits, LimitsPatch, Tier
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

PASSWORD_MAX = 256  # characters, and at most 1,024 bytes of UTF-8


class Role(StrEnum):
    """What a user is to the system."""

    USER = "user"
    ADMIN = "admin"


class Tenant(TolerantModel):
    """A tenant as the scheduler needs it.

    Attributes:
        quota_group: tenants of one group share one daily image quota; None where the tenant has its own.
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
    """A user with the limits that hold for it, own ones over its tier's.

    Attributes:
        shares_quota: whether it shares its daily image quota with accounts that registered from the same address.
    """

    user: User
    limits: Limits
    own_limits: tuple[str, ...] = ()
    shares_quota: bool = False


class ReadTenant(StrictModel):
    """Ask for the limits of the tenant in the subject."""


class ReadAccount(StrictModel):
    """Ask for the account of the tenant in the subject."""


class Register(StrictModel):
    """Make an account of tier ``free``, or of the tier of the invite."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    email: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    invite: Secret | None = None
    ip: Ip | None = None


class ChangePassword(StrictModel):
    """Set a new password; every other session of the user ends."""

    current_password: Secret
    new_password: Secret
    session_id: UUID | None = None
    ip: Ip | None = None


class ListUsers(StrictModel):
    """Ask for users, newest first.

    Attributes:
        user_id: only this one.
        search: a part of username or address.
        before: an id, to go on from.
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


class ChangeUser(StrictModel):
    """Change an account; what is None stays. ``limits`` replaces all own limits; a shared quota can only be ended."""

    user_id: UUID
    tier: Tier | None = None
    role: Role | None = None
    is_active: bool | None = None
    limits: LimitsPatch | None = None
    shares_quota: Literal[False] | None = None
    ip: Ip | None = None


class UnknownTenant(Refusal):
    """This account does not exist or is deactivated. Ask an administrator."""

    kind, code = Kind.FORBIDDEN, "auth.tenant.unknown"


class InvalidAccount(Refusal):
    """The account cannot be created with these values. errors names each one and what is valid."""

    kind, code = Kind.INVALID, "auth.account.invalid"


class AccountTaken(Refusal):
    """The username or the e-mail address is already in use. Choose another one, or log in."""

    kind, code = Kind.CONFLICT, "auth.account.taken"


class UnknownUser(Refusal):
    """There is no such user. GET /api/v1/admin/users lists all."""

    kind, code = Kind.NOT_FOUND, "auth.user.not_found"


class LastAdmin(Refusal):
    """This is the last active administrator. Give another user the role first."""

    kind, code = Kind.CONFLICT, "auth.user.last_admin"


class Registration(StrEnum):
    """Who may make an account: everybody, whoever has an invite, or nobody."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class RegistrationClosed(Refusal):
    """Registration is closed on this server. Ask an administrator for an account."""

    kind, code = Kind.FORBIDDEN, "auth.registration.closed"


READ_TENANT = auth_rpc(
    "tenant", "read", ReadTenant, Tenant, "Read tier and limits of a tenant.", producers=("scheduler",)
)
READ_ACCOUNT = auth_rpc("account", "read", ReadAccount, Account, "Read an account and its limits.", timeout_s=1.5)
REGISTER = auth_rpc("account", "make", Register, User, "Create an account.", timeout_s=PASSWORD_HASH_TIMEOUT_S)
CHANGE_PASSWORD = auth_rpc(
    "password", "change", ChangePassword, Done, "Change the password of an account.", timeout_s=PASSWORD_HASH_TIMEOUT_S
)
LIST_USERS = auth_rpc("user", "list", ListUsers, UserPage, "An admin lists users.")
CHANGE_USER = auth_rpc("user", "change", ChangeUser, Account, "An admin changes a user.")

TOPICS = (READ_TENANT, READ_ACCOUNT, REGISTER, CHANGE_PASSWORD, LIST_USERS, CHANGE_USER)
