"""Changes of users, tiers and credentials, from which other services keep their copies current."""

from datetime import datetime
from uuid import UUID

from contracts.auth.accounts import Role
from contracts.auth.rpc import auth_rpc
from contracts.auth.tiers import Limits, Tier, TierLimits
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import Topic, Traffic


class UserChanged(TolerantModel):
    """How a user stands after a change, and what the change ended.

    Attributes:
        version: of the user; what is told with a lower one is older.
        tokens_from: access tokens of a lower version are void.
        limits: that hold for it, whether its own or its tier's.
        ended_session: whose access tokens are void from now on.
        revoked_key: an API key that is void from now on.
        quota_group: as in ``Tenant``.
    """

    user_id: UUID
    version: int
    tokens_from: int
    is_active: bool
    tier: Tier
    role: Role
    limits: Limits
    own_limits: bool
    ended_session: UUID | None = None
    revoked_key: str | None = None
    quota_group: UUID | None = None
    at: datetime


class Changes(TolerantModel):
    """What changed. ``now`` is the time by auth's database, from which to ask on."""

    now: datetime
    tiers: tuple[TierLimits, ...]
    users: tuple[UserChanged, ...]


class ReadChanges(StrictModel):
    """Ask what changed since then; None for the life of an access token. Repeats are to be expected."""

    since: datetime | None = None


READ_CHANGES = auth_rpc(
    "changes",
    "read",
    ReadChanges,
    Changes,
    "Read what changed about users and tiers.",
    producers=("gateway", "notifier"),
)
USER_CHANGED = Topic(
    kind=Traffic.LIVE,
    owner="auth",
    noun="user",
    verb="changed",
    payload=UserChanged,
    description="A user changed, a session ended or a key was revoked.",
    producers=("auth",),
    consumers=("gateway", "notifier", "scheduler"),
)

TOPICS = (READ_CHANGES, USER_CHANGED)
