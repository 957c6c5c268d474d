"""Words that auth owns: tenants, tiers, principals."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Traffic


class Tier(StrEnum):
    """What a tenant pays for. Limits hang on it; a single user may be given own ones."""

    FREE = "free"
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Role(StrEnum):
    """What a user is to the system."""

    USER = "user"
    ADMIN = "admin"


class Limits(Fact):
    """What a tenant may use. None means no limit.

    Attributes:
        images_per_day: images made in one UTC day.
        max_running: jobs that run at the same time.
        queue_cap: jobs that wait at the same time.
        weight: share of the fleet against other tenants, > 0.
        requests_per_minute: HTTP requests.
    """

    images_per_day: int | None
    max_running: int | None
    queue_cap: int | None
    weight: float = Field(gt=0)
    requests_per_minute: int | None


class Tenant(Fact):
    """A tenant as the scheduler needs it."""

    tenant_id: UUID
    tier: Tier
    is_active: bool
    limits: Limits


class Principal(Fact):
    """Who a credential belongs to."""

    user_id: UUID
    username: str
    tier: Tier
    role: Role
    scopes: tuple[str, ...]
    key_id: str


class VerifyCredential(Command):
    """Ask who an API key belongs to."""

    credential: Annotated[str, Field(min_length=1, max_length=512)]


class ReadTenant(Command):
    """Ask for the limits of the tenant in the subject."""


class BadCredential(Refusal):
    """The credential is missing, malformed, unknown, expired or revoked. Send a valid key in X-API-Key."""

    kind, code = Kind.UNAUTHENTICATED, "auth.credential.invalid"


class UnknownTenant(Refusal):
    """There is no such tenant, or it is deactivated."""

    kind, code = Kind.FORBIDDEN, "auth.tenant.unknown"


VERIFY_CREDENTIAL = Rpc(
    kind=Traffic.RPC,
    owner="auth",
    noun="credential",
    verb="verify",
    payload=VerifyCredential,
    reply=Principal,
    says="who is this credential",
    producers=("gateway", "notifier"),
    consumers=("auth",),
    timeout_s=1.5,
)
READ_TENANT = Rpc(
    kind=Traffic.RPC,
    owner="auth",
    noun="tenant",
    verb="read",
    payload=ReadTenant,
    reply=Tenant,
    says="tier and limits of a tenant",
    producers=("scheduler",),
    consumers=("auth",),
    timeout_s=2.0,
)

TOPICS = (VERIFY_CREDENTIAL, READ_TENANT)
