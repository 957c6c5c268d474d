"""Words that auth owns: who may register, and the invites that admins hand out."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.auth import Done, Ip, Secret, Tier
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Traffic

InviteDays = Annotated[int, Field(ge=1, le=90)]


class Registration(StrEnum):
    """Who may make an account: everybody, whoever has an invite, or nobody."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class Invite(Fact):
    """An invite, without its token.

    Attributes:
        tier: of the account that it makes.
        created_by: the admin who made it.
        expires_at: when it stops working; the time of the revocation where an admin revoked it.
        used_by: the account that it made; None where it made none.
    """

    id: UUID
    tier: Tier
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime
    used_by: UUID | None = None
    used_at: datetime | None = None


class CreateInvite(Command):
    """Make an invite. ``expires_in_days``: how long it can be used."""

    tier: Tier = Tier.FREE
    expires_in_days: InviteDays = 7
    ip: Ip | None = None


class CreatedInvite(Fact):
    """A new invite with its token, which only this message carries."""

    invite: Invite
    token: Secret


class ListInvites(Command):
    """Ask for invites, newest first.

    Attributes:
        before: the id of the last invite of the page before.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None


class InvitePage(Fact):
    """One page of invites; ``more`` says whether another one follows."""

    invites: tuple[Invite, ...]
    more: bool


class RevokeInvite(Command):
    """Stop an invite from being used. Repeating it changes nothing."""

    invite_id: UUID
    ip: Ip | None = None


class RegistrationClosed(Refusal):
    """Registration is closed on this server. Ask an administrator for an account."""

    kind, code = Kind.FORBIDDEN, "auth.registration.closed"


class InviteRequired(Refusal):
    """Registration needs an invite on this server. Ask an administrator for one and send it as invite."""

    kind, code = Kind.FORBIDDEN, "auth.invite.required"


class InvalidInvite(Refusal):
    """The invite is unknown, expired, revoked or already used. Ask an administrator for a new one."""

    kind, code = Kind.FORBIDDEN, "auth.invite.invalid"


class UnknownInvite(Refusal):
    """There is no such invite. GET /api/v1/admin/invites lists them."""

    kind, code = Kind.NOT_FOUND, "auth.invite.not_found"


class InviteUsed(Refusal):
    """This invite has been used and cannot be revoked. Deactivate the account that it created instead."""

    kind, code = Kind.CONFLICT, "auth.invite.used"


def _rpc(verb: str, payload: Any, reply: Any, says: str) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="auth", noun="invite", verb=verb, payload=payload, reply=reply, says=says,
        producers=("gateway",), consumers=("auth",), timeout_s=2,
    )  # fmt: skip


CREATE_INVITE: Rpc[CreateInvite, CreatedInvite] = _rpc("create", CreateInvite, CreatedInvite, "an admin invites")
LIST_INVITES: Rpc[ListInvites, InvitePage] = _rpc("list", ListInvites, InvitePage, "an admin looks at invites")
REVOKE_INVITE: Rpc[RevokeInvite, Done] = _rpc("revoke", RevokeInvite, Done, "an admin revokes an invite")

TOPICS = (CREATE_INVITE, LIST_INVITES, REVOKE_INVITE)
