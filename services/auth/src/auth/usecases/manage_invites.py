from uuid import UUID

from pydantic import SecretStr

from auth.domain.invite import digest_invite_token, new_invite_token
from auth.store import audit, invites
from auth.store.audit import NewAuditEntry
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from chassis.ids import new_id
from contracts.auth.fields import Done
from contracts.auth.invites import (
    CreatedInvite,
    CreateInvite,
    InvitePage,
    InviteUsed,
    ListInvites,
    RevokeInvite,
    UnknownInvite,
)


class InviteService:
    """Creates, lists and revokes invites. Every method raises MissingScope unless the actor is an active admin."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_invite(self, actor_id: UUID, command: CreateInvite) -> CreatedInvite:
        """Return a new invite with its token, which is not stored."""
        token = new_invite_token()
        digest = digest_invite_token(token)
        assert digest is not None  # noqa: S101 - a new token is well-formed
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            invite = await invites.add_invite(
                connection, new_id(), digest, tier=command.tier, created_by=actor_id, days=command.expires_in_days
            )
            detail = {"invite_id": str(invite.id), "tier": invite.tier, "expires_at": invite.expires_at.isoformat()}
            await audit.append_entry(connection, NewAuditEntry("invite.created", actor_id, None, command.ip, detail))
        return CreatedInvite(invite=invite, token=SecretStr(token))

    async def list_invites(self, actor_id: UUID, query: ListInvites) -> InvitePage:
        """Return one page, newest first."""
        async with self._database.single() as connection:
            await require_admin(connection, actor_id)
            found, more = await invites.list_invites(connection, limit=query.limit, before=query.before)
        return InvitePage(invites=found, more=more)

    async def revoke_invite(self, actor_id: UUID, command: RevokeInvite) -> Done:
        """Expire an invite; an expired one stays unchanged.

        Raises:
            UnknownInvite: there is no such invite.
            InviteUsed: an account was registered with it.
        """
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            invite = await invites.lock_invite(connection, command.invite_id)
            if invite is None:
                raise UnknownInvite
            if invite.used_by is not None:
                raise InviteUsed
            if await invites.expire_invite(connection, invite.id):
                detail = {"invite_id": str(invite.id)}
                await audit.append_entry(
                    connection, NewAuditEntry("invite.revoked", actor_id, None, command.ip, detail)
                )
        return Done()
