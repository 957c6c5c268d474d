"""Reads the queue by tenant, with the reason why each tenant's first job waits."""

from chassis.database.postgres import Database
from contracts.auth.tiers import Tier
from contracts.scheduler.queue import Queue, QueuedTenant, ReadQueue
from scheduler.store import jobs, queue, stats
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.read_stats import build_tier_queues
from scheduler.usecases.reply_cache import ReplyCache

FRESH_S = 2.0  # how long a reply is cached


class QueueReader:
    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader
        self._replies = ReplyCache(self._load_queue, fresh_s=FRESH_S)

    async def read_queue(self, query: ReadQueue) -> Queue:
        """Return waiting jobs by tier, and tenants with waiting jobs. Cached for ``FRESH_S`` seconds."""
        return await self._replies.get_reply(query)

    async def _load_queue(self, query: ReadQueue) -> Queue:
        async with self._database.direct() as connection:
            at = await stats.read_time(connection)
            tiers = await stats.count_queue(connection)
            rows = await queue.list_queued_tenants(connection, query)
            found = await jobs.find_jobs(connection, [row["first_job_id"] for row in rows if row["first_job_id"]])
        described = await self._reader.describe_jobs(list(found.values()))
        waiting = {job.job_id: job.waiting for job in described}
        tenants = tuple(
            QueuedTenant(
                **{name: value for name, value in row.items() if name != "found"},
                waiting=waiting.get(row["first_job_id"]),
            )
            for row in rows
        )
        return Queue(
            at=at,
            tiers=build_tier_queues({Tier(row["tier"]): row for row in tiers}),
            found=rows[0]["found"] if rows else 0,
            tenants=tenants,
        )
