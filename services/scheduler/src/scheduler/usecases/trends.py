"""Stores totals of each minute, and reads them as trends."""

from datetime import timedelta

from chassis.database.postgres import Database
from contracts.scheduler.trends import ReadTrends, Trends
from scheduler.domain.trends import TrendBuilder, choose_window
from scheduler.store import trends
from scheduler.usecases.reply_cache import ReplyCache

RECORD_EVERY_S = 10.0
FRESH_S = 10.0  # how long a reply is cached
COMMIT_DELAY = timedelta(seconds=15)  # a transaction that ends a job may commit this long after its timestamp
MAX_ADDED_AT_ONCE = timedelta(hours=1)  # in one transaction, after an outage of all schedulers or at the first start
BACKFILL = timedelta(days=1)  # minutes before the first start that are added, too
MAX_COUNTED = timedelta(hours=1)  # longest span without stored totals that is counted for each reply


class TrendRecorder:
    """Stores the totals of each minute once it is over. All replicas try; one at a time succeeds.

    Args:
        offline_after_s: a node without a heartbeat for this long is offline.
    """

    def __init__(self, database: Database, *, offline_after_s: float) -> None:
        self._database, self._offline_after_s = database, offline_after_s

    async def tick(self) -> None:
        """Store the totals of every completed minute. Called by ``chassis.loop.Loop``."""
        while await self._add_next_minutes():
            pass

    async def prune_totals(self) -> None:
        """Delete old totals. Called by ``chassis.loop.Loop``."""
        await trends.prune_totals(self._database)

    async def _add_next_minutes(self) -> bool:
        """Store the totals of the next minutes. Returns whether more completed minutes have no totals."""
        async with self._database.transaction() as connection:
            if not await trends.try_lock_totals(connection):
                return False
            progress = await trends.read_progress(connection)
            now, minute = progress["now"], progress["minute"]
            end_of_complete = minute if now - minute >= COMMIT_DELAY else minute - timedelta(minutes=1)
            start = progress["next"] or minute - BACKFILL
            end = min(end_of_complete, start + MAX_ADDED_AT_ONCE)
            if start >= end:
                return False
            await trends.add_totals(connection, start, end, offline_after_s=self._offline_after_s)
        is_behind: bool = end < end_of_complete
        return is_behind


class TrendReader:
    """Reads the stored totals, and computes those of the most recent minutes, which are not stored yet."""

    def __init__(self, database: Database, *, offline_after_s: float) -> None:
        self._database, self._offline_after_s = database, offline_after_s
        self._replies = ReplyCache(self._load_trends, fresh_s=FRESH_S)

    async def read_trends(self, query: ReadTrends) -> Trends:
        """Return what happened in a window. Cached for ``FRESH_S`` seconds."""
        return await self._replies.get_reply(query)

    async def _load_trends(self, query: ReadTrends) -> Trends:
        async with self._database.transaction() as connection:
            await trends.use_one_snapshot(connection)
            progress = await trends.read_progress(connection)
            now = progress["now"]
            window = choose_window(query, now)
            builder = TrendBuilder(window)
            jobs, durations, failures, nodes = await trends.list_totals(
                connection,
                window.start,
                window.end,
                step_s=window.step_s,
                stored_s=trends.HOUR_S if window.has_only_hours else trends.MINUTE_S,
                nodes_stored_s=trends.HOUR_S if window.has_only_hours else trends.TEN_MINUTES_S,
            )
            builder.add_jobs(jobs)
            builder.add_online(jobs)
            builder.add_durations(durations)
            builder.add_failures(failures)
            builder.add_nodes(map(dict, nodes))
            recent_start = max(progress["next"] or now - MAX_COUNTED, now - MAX_COUNTED, window.start)
            if recent_start < window.end:
                jobs, durations, failures, nodes, online = await trends.count_recent_totals(
                    connection, recent_start, window.end, offline_after_s=self._offline_after_s
                )
                builder.add_jobs(jobs)
                builder.add_durations(durations)
                builder.add_failures(failures)
                builder.add_nodes(map(dict, nodes))
                builder.add_online(online)
                builder.add_nodes(map(dict, online))
        return builder.build()
