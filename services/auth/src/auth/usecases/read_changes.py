"""What did a door miss?"""

from datetime import datetime

from auth.store import changes, tiers
from chassis.database.postgres import Database
from contracts.auth import Changes


class ChangeReader:
    """Tells doors what changed, whether it was announced to them or not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, since: datetime | None) -> Changes:
        """Changes from that time on, None for those of the last hour, and every tier as it is.

        A transaction's changes are dated before its commit: who asks on from ``now`` asks from a little earlier. Where
        ``now`` is when the last of them happened the answer is full, and there are more to be asked for at once.
        """
        async with self._database.single() as connection:
            found = await changes.read(connection, since)
            every = await tiers.every(connection)
        return Changes(now=found.now, tiers=every, users=found.users)
