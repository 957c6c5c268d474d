"""Invites, which admins create for new users."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret
from contracts.auth.rpc import declare_auth_rpc
from contracts.auth.tiers import Tier
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

InviteDays = Annotated[int, Field(ge=1, le=90)]


class Invite(TolerantModel):
    """An invite, without its token.

    Attributes:
        tier: tier of the account that registers with it.
        created_by: the admin who created it.
        expires_at: when it expires; for a revoked invite the time of the revocation.
        used_by: the account that registered with it; None if unused.
    """

    id: UUID
    tier: Tier
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime
    used_by: UUID | None = None
    used_at: datetime | None = None


class CreateInvite(StrictModel):
    """Create an invite that is valid for ``expires_in_days`` days."""

    tier: Tier = Tier.FREE
    expires_in_days: InviteDays = 7
    ip: Ip | None = None


class CreatedInvite(TolerantModel):
    """A new invite with its token. The token is returned only here."""

    invite: Invite
    token: Secret


class ListInvites(StrictModel):
    """List invites, newest first.

    Attributes:
        before: the last ``id`` of the previous page.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None


class InvitePage(TolerantModel):
    """A page of invites. ``more`` is true if another page follows."""

    invites: tuple[Invite, ...]
    more: bool


class RevokeInvite(StrictModel):
    """Revoke an unused invite. Idempotent."""

    invite_id: UUID
    ip: Ip | None = None


class InviteRequired(Refusal):
    """Registration needs an invite. Ask an administrator for one and send its token in the field "invite"."""

    kind, code = ErrorKind.FORBIDDEN, "auth.invite.required"


class InvalidInvite(Refusal):
    """The invite is unknown, expired, revoked or already used. Ask an administrator for a new one."""

    kind, code = ErrorKind.FORBIDDEN, "auth.invite.invalid"


class UnknownInvite(Refusal):
    """There is no such invite. GET /api/v1/admin/invites lists them."""

    kind, code = ErrorKind.NOT_FOUND, "auth.invite.not_found"


class InviteUsed(Refusal):
    """This invite has been used and cannot be revoked. Deactivate the account that it created instead."""

    kind, code = ErrorKind.CONFLICT, "auth.invite.used"


CREATE_INVITE = declare_auth_rpc("invite", "create", CreateInvite, CreatedInvite, "An admin creates an invite.")
LIST_INVITES = declare_auth_rpc("invite", "list", ListInvites, InvitePage, "An admin lists invites.")
REVOKE_INVITE = declare_auth_rpc("invite", "revoke", RevokeInvite, Done, "An admin revokes an invite.")

TOPICS = (CREATE_INVITE, LIST_INVITES, REVOKE_INVITE)
