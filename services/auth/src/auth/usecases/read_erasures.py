"""What is there to be known of accounts that end, and of the sessions of one that does not."""

from uuid import UUID

from auth.store import erasures
from chassis.database.postgres import Database
from contracts.retention import Erasures, ReadErasures, Sessions


class ErasureReader:
    """Tells services whose data must go, and users when they logged in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, query: ReadErasures) -> Erasures:
        """Erasures from behind that number, in the order of their commits."""
        async with self._database.single() as connection:
            return await erasures.read(connection, query.after)

    async def sessions(self, user_id: UUID) -> Sessions:
        """The user's sessions that are remembered."""
        async with self._database.single() as connection:
            return Sessions(sessions=await erasures.sessions(connection, user_id))
