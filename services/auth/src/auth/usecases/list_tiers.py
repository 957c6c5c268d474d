from auth.store import tiers
from chassis.database.postgres import Database
from contracts.auth.tiers import Tiers


class TierLister:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_tiers(self) -> Tiers:
        """Return every tier with its limits, smallest first."""
        async with self._database.connection() as connection:
            return Tiers(tiers=await tiers.list_tiers(connection))
