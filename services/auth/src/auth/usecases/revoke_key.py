from uuid import UUID

from auth.store import audit, changes, keys, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from chassis.database.postgres import Database
from contracts.auth.fields import Done
from contracts.auth.keys import RevokeKey, UnknownKey


class KeyRevoker:
    """Revokes keys and announces it to the public services."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def revoke_key(self, user_id: UUID, command: RevokeKey) -> Done:
        """Revoke the key. Revoking it again succeeds.

        Raises:
            UnknownKey: the user has no such key.
        """
        async with self._database.transaction() as connection:
            if await users.lock_user(connection, user_id) is None:
                raise UnknownKey
            ended = await keys.revoke_key(connection, user_id, command.key_id)
            if ended is None:
                raise UnknownKey
            if not ended:
                return Done()
            change = await changes.record_change(connection, user_id, revoked_key=command.key_id)
            detail = {"key_id": command.key_id}
            await audit.append_entry(connection, NewAuditEntry("key.revoked", user_id, user_id, command.ip, detail))
        await self._announcer.announce_user_change(change)
        return Done()
