from uuid import UUID

from auth.store import keys
from chassis.database.postgres import Database
from contracts.auth.keys import Keys


class KeyLister:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_keys(self, user_id: UUID) -> Keys:
        """Return the user's working keys without their secrets, newest first."""
        async with self._database.connection() as connection:
            return Keys(keys=await keys.list_working_keys(connection, user_id))
