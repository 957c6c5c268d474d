"""Reads erasures for other services."""

from auth.store import erasures
from chassis.database.postgres import Database
from contracts.auth.erasure import Erasures, ReadErasures


class ErasureReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_erasures(self, query: ReadErasures) -> Erasures:
        """Return the erasures with a number greater than ``query.after``, in commit order."""
        async with self._database.single() as connection:
            return await erasures.list_erasures(connection, query.after)
