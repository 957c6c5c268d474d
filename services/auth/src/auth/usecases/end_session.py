from uuid import UUID

from auth.store import audit, changes, sessions, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.changes import UserChanged
from contracts.auth.fields import Done
from contracts.auth.sessions import EndSession, RevokeSession, UnknownSession


class SessionEnder:
    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def end_session(self, user_id: UUID, command: EndSession) -> Done:
        """End one session of the user, or all. Sessions that have ended or belong to others are unaffected."""
        async with self._database.direct() as connection:
            change = await self._end_session(connection, user_id, command)
        if change is not None:
            await self._announcer.announce_user_change(change)
        return Done()

    async def revoke_session(self, user_id: UUID, command: RevokeSession) -> Done:
        """End one session of the user. One that has ended stays unchanged.

        Raises:
            UnknownSession: the user has no such session.
        """
        async with self._database.single() as connection:
            if not await sessions.has_session(connection, user_id, command.session_id):
                raise UnknownSession
        return await self.end_session(user_id, EndSession(session_id=command.session_id, ip=command.ip))

    async def _end_session(self, connection: Connection, user_id: UUID, command: EndSession) -> UserChanged | None:
        session_id = command.session_id
        if await users.lock_user(connection, user_id) is None:
            return None
        if session_id is None:
            await users.end_sessions(connection, user_id)
            change = await changes.record_change(connection, user_id, void_tokens=True)
        elif await sessions.end_session(connection, session_id, user_id):
            change = await changes.record_change(connection, user_id, ended_session=session_id)
        else:
            return None
        detail = {"session_id": str(session_id)} if session_id else {"all": True}
        await audit.append_entry(connection, NewAuditEntry("session.ended", user_id, user_id, command.ip, detail))
        return change
