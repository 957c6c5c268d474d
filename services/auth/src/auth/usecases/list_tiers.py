"""What does each tier allow?"""

from auth.store import tiers
from chassis.database.postgres import Database
from contracts.auth import Tiers


class TierLister:
    """Tells the limits of tiers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> Tiers:
        """Every tier, smallest first."""
        async with self._database.single() as connection:
            return Tiers(tiers=await tiers.every(connection))
