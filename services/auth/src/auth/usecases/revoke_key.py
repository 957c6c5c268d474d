"""A user ends an API key."""

from uuid import UUID

from auth.store import audit, changes, keys, users
from auth.store.audit import Entry
from auth.usecases.announce import Announcer
from chassis.database.postgres import Database
from contracts.auth import Done, RevokeKey, UnknownKey


class KeyRevoker:
    """Ends keys: here at once, at the doors when they hear of it."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def revoke(self, user_id: UUID, command: RevokeKey) -> Done:
        """End the key; one that has ended is ended.

        Raises:
            UnknownKey: the user has no such key.
        """
        async with self._database.direct() as connection:
            if await users.lock(connection, user_id) is None:
                raise UnknownKey
            ended = await keys.revoke(connection, user_id, command.key_id)
            if ended is None:
                raise UnknownKey
            if not ended:
                return Done()
            change = await changes.change(connection, user_id, revoked_key=command.key_id)
            detail = {"key_id": command.key_id}
            await audit.record(connection, Entry("key.revoked", user_id, user_id, command.ip, detail))
        await self._announcer.user_changed(change)
        return Done()
