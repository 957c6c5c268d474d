"""What was used by day?"""

from collections import defaultdict
from datetime import date
from uuid import UUID

from chassis.database.postgres import Database
from contracts.scheduler.usage import USAGE_DAYS, DailyUsage, EndpointUsage, UsageDay
from scheduler.store import usage


class UsageReader:
    """Shows what jobs have used, and forgets it after ``USAGE_DAYS``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, tenant_id: UUID | None, *, days: int) -> DailyUsage:
        """The last days, today included, of one tenant or of everybody."""
        async with self._database.single() as connection:
            rows = await usage.days(connection, tenant_id, number=days)
            shares = await usage.endpoints(connection, tenant_id, number=days)
        endpoints: defaultdict[date, dict[str, EndpointUsage]] = defaultdict(dict)
        for row in shares:
            use = EndpointUsage(images=row["images"], gpu_seconds=row["gpu_seconds"])
            endpoints[row["day"]][row["endpoint"]] = use
        return DailyUsage(days=tuple(UsageDay(**row, endpoints=endpoints[row["day"]]) for row in rows))

    async def prune(self) -> None:
        """Forget what is older. A duty for ``chassis.loop.Loop``."""
        async with self._database.direct() as connection:
            await usage.prune(connection, keep=USAGE_DAYS)
