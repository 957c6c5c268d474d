from datetime import timedelta
from uuid import UUID

from auth.store import sessions
from chassis.database.postgres import Database
from contracts.auth.sessions import ListSessions, Sessions

MAX_SESSIONS, MAX_ACTIVE_SESSIONS = 1000, 100


class SessionLister:
    """Lists the sessions of a user.

    Args:
        idle: lifetime of a session that is not refreshed.
    """

    def __init__(self, database: Database, *, idle: timedelta) -> None:
        self._database, self._idle = database, idle

    async def list_sessions(self, user_id: UUID, query: ListSessions) -> Sessions:
        """Return up to ``MAX_SESSIONS`` sessions of the user, or ``MAX_ACTIVE_SESSIONS`` active ones, newest first."""
        limit = MAX_ACTIVE_SESSIONS if query.only_active else MAX_SESSIONS
        async with self._database.single() as connection:
            found = await sessions.list_sessions(
                connection, user_id, only_active=query.only_active, idle=self._idle, limit=limit
            )
        return Sessions(sessions=found)
