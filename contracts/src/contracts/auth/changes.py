"""Changes of users, tiers and credentials. Other services update their caches from them."""

from datetime import datetime
from uuid import UUID

from contracts.auth.accounts import Role
from contracts.auth.rpc import declare_auth_rpc
from contracts.auth.tiers import Limits, Tier, TierLimits
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Topic


class UserChanged(TolerantModel):
    """The state of a user after a change, and the credentials that the change ended.

    Attributes:
        version: version of the user. Discard a message whose version is lower than the latest one seen.
        tokens_from: access tokens with a lower version are invalid.
        limits: effective limits, from the user or its tier.
        ended_session: session whose access tokens are invalid from now on.
        revoked_key: API key that is invalid from now on.
        quota_group: see ``Tenant``.
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
    """Changes since the requested time. ``now`` is the time of auth's database, to pass in the next request."""

    now: datetime
    tiers: tuple[TierLimits, ...]
    users: tuple[UserChanged, ...]


class ReadChanges(StrictModel):
    """List changes since a time, by default within the lifetime of an access token. May return a change twice."""

    since: datetime | None = None


READ_CHANGES = declare_auth_rpc(
    "changes",
    "read",
    ReadChanges,
    Changes,
    "Read what changed about users and tiers.",
    producers=("gateway", "notifier"),
)
USER_CHANGED = Topic(
    kind=MessageKind.LIVE,
    owner="auth",
    noun="user",
    verb="changed",
    payload=UserChanged,
    description="A user changed, a session ended or a key was revoked.",
    producers=("auth",),
    consumers=("gateway", "notifier", "scheduler"),
)

TOPICS = (READ_CHANGES, USER_CHANGED)
