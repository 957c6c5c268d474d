"""Which keys does a user have?"""

from uuid import UUID

from auth.store import keys
from chassis.database.postgres import Database
from contracts.auth import Keys


class KeyLister:
    """Tells users of their keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, user_id: UUID) -> Keys:
        """The user's keys that work, newest first, by what they begin with."""
        async with self._database.single() as connection:
            return Keys(keys=await keys.live(connection, user_id))
