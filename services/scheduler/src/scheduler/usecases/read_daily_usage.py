"""Reads usage by day, and deletes old usage."""

from collections import defaultdict
from datetime import date
from uuid import UUID

from chassis.database.postgres import Database
from contracts.scheduler.usage import USAGE_DAYS, DailyUsage, EndpointUsage, UsageDay
from scheduler.store import usage


class DailyUsageReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_daily_usage(self, tenant_id: UUID | None, *, days: int) -> DailyUsage:
        """Return the usage of the last ``days`` UTC days, today included; ``tenant_id`` None sums up all tenants."""
        async with self._database.single() as connection:
            rows = await usage.list_usage_days(connection, tenant_id, days=days)
            shares = await usage.list_endpoint_usage(connection, tenant_id, days=days)
        endpoints: defaultdict[date, dict[str, EndpointUsage]] = defaultdict(dict)
        for row in shares:
            endpoint_usage = EndpointUsage(images=row["images"], gpu_seconds=row["gpu_seconds"])
            endpoints[row["day"]][row["endpoint"]] = endpoint_usage
        return DailyUsage(days=tuple(UsageDay(**row, endpoints=endpoints[row["day"]]) for row in rows))

    async def prune_usage(self) -> None:
        """Delete usage older than ``USAGE_DAYS`` days. For ``chassis.loop.Loop``."""
        await usage.prune_usage(self._database, keep_days=USAGE_DAYS)
