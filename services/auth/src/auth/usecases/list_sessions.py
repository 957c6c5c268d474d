from datetime import timedelta
from uuid import UUID

from auth.store import sessions
from chassis.database.postgres import Database
from contracts.auth.sessions import ListSessions, Sessions

MOST, MOST_ACTIVE = 1000, 100


class SessionLister:
    """Lists the sessions of a user.

    Args:
        idle: lifetime of a session that is not refreshed.
    """

    def __init__(self, database: Database, *, idle: timedelta) -> None:
        self._database, self._idle = database, idle

    async def list_sessions(self, user_id: UUID, query: ListSessions) -> Sessions:
        """Return the user's stored sessions, newest first, at most ``MOST``; of active ones ``MOST_ACTIVE``."""
        limit = MOST_ACTIVE if query.only_active else MOST
        async with self._database.connection() as connection:
            found = await sessions.list_sessions(
                connection, user_id, only_active=query.only_active, idle=self._idle, limit=limit
            )
        return Sessions(sessions=found)
