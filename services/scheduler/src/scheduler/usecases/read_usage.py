"""What was used by day?"""

from uuid import UUID

from chassis.postgres import Database
from contracts.operations import USAGE_DAYS, Usage, UsageDay
from scheduler.store import usage


class UsageReader:
    """Shows what jobs have used, and forgets it after ``USAGE_DAYS``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, tenant_id: UUID | None, *, days: int) -> Usage:
        """The last days, today included, of one tenant or of everybody."""
        async with self._database.single() as connection:
            rows = await usage.days(connection, tenant_id, number=days)
        return Usage(days=tuple(UsageDay(**row) for row in rows))

    async def prune(self) -> None:
        """Forget what is older. A duty for ``chassis.loop.Loop``."""
        async with self._database.direct() as connection:
            await usage.prune(connection, keep=USAGE_DAYS)
