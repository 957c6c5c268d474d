from datetime import datetime

from auth.store import changes, tiers
from chassis.database.postgres import Database
from contracts.auth.changes import Changes


class ChangeReader:
    """Reads user changes for services that may have missed their announcement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_changes(self, since: datetime | None) -> Changes:
        """Return changes since that time (None: the last hour) and every tier.

        Changes are dated before their commit, so continue from slightly before ``now``. After a full page, ``now`` is
        the time of its last change, and more are available at once.
        """
        async with self._database.single() as connection:
            found = await changes.list_changes(connection, since)
            all_tiers = await tiers.list_tiers(connection)
        return Changes(now=found.now, tiers=all_tiers, users=found.users)
