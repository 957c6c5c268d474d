"""Reads erasures for other services, and sessions for their user."""

from uuid import UUID

from auth.store import erasures
from chassis.database.postgres import Database
from contracts.auth.erasure import Erasures, ReadErasures
from contracts.auth.sessions import Sessions


class ErasureReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_erasures(self, query: ReadErasures) -> Erasures:
        """Return erasures after that number, in commit order."""
        async with self._database.single() as connection:
            return await erasures.list_erasures(connection, query.after)

    async def list_sessions(self, user_id: UUID) -> Sessions:
        """Return the user's stored sessions."""
        async with self._database.single() as connection:
            return Sessions(sessions=await erasures.list_sessions(connection, user_id))
