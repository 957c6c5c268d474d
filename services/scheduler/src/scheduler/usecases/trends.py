"""Adds up what happened in each minute, and reads it as trends."""

from datetime import timedelta

from chassis.database.postgres import Database
from contracts.scheduler.trends import ReadTrends, Trends
from scheduler.domain.trends import TrendBuilder, choose_window
from scheduler.store import trends
from scheduler.usecases.recent_replies import RecentReplies

RECORD_EVERY_S = 10.0
FRESH_S = 10.0  # how long a reply is cached
SETTLE = timedelta(seconds=15)  # a transaction that ends a job may commit so long after its timestamp
AT_ONCE = timedelta(hours=1)  # added in one transaction, after an outage of all schedulers or the first start
BACKFILL = timedelta(days=1)  # at the first start
MAX_RECENT = timedelta(hours=1)  # counted at a request, if adding up is behind


class TrendRecorder:
    """Adds up each minute once it is over. All replicas try; one at a time succeeds.

    Args:
        online_s: a node is online if its last heartbeat is at most this old.
    """

    def __init__(self, database: Database, *, online_s: float) -> None:
        self._database, self._online_s = database, online_s

    async def tick(self) -> None:
        """Add up all minutes that are over, for ``chassis.loop.Loop``."""
        while await self._add_next_minutes():
            pass

    async def prune_totals(self) -> None:
        """Delete old totals, for ``chassis.loop.Loop``."""
        await trends.prune_totals(self._database)

    async def _add_next_minutes(self) -> bool:
        """Add up the next minutes. Return whether more are over."""
        async with self._database.transaction() as connection:
            if not await trends.try_lock_totals(connection):
                return False
            progress = await trends.read_progress(connection)
            now, minute = progress["now"], progress["minute"]
            over = minute if now - minute >= SETTLE else minute - timedelta(minutes=1)
            start = progress["next"] or minute - BACKFILL
            end = min(over, start + AT_ONCE)
            if start >= end:
                return False
            await trends.add_totals(connection, start, end, online_s=self._online_s)
        is_behind: bool = end < over
        return is_behind


class TrendReader:
    """Reads stored totals, and counts the last minute or two, which have none yet."""

    def __init__(self, database: Database, *, online_s: float) -> None:
        self._database, self._online_s = database, online_s
        self._replies = RecentReplies(self._load_trends, fresh_s=FRESH_S)

    async def read_trends(self, query: ReadTrends) -> Trends:
        """Return what happened in a window. Cached for ``FRESH_S`` seconds."""
        return await self._replies.read_reply(query)

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
                stored_s=trends.HOUR_S if window.by_hour else trends.MINUTE_S,
                nodes_stored_s=trends.HOUR_S if window.by_hour else trends.TEN_MINUTES_S,
            )
            builder.add_jobs(jobs)
            builder.add_online(jobs)
            builder.add_durations(durations)
            builder.add_failures(failures)
            builder.add_nodes(map(dict, nodes))
            recent_start = max(progress["next"] or now - MAX_RECENT, now - MAX_RECENT, window.start)
            if recent_start < window.end:
                jobs, durations, failures, nodes, online = await trends.count_recent_totals(
                    connection, recent_start, window.end, online_s=self._online_s
                )
                builder.add_jobs(jobs)
                builder.add_durations(durations)
                builder.add_failures(failures)
                builder.add_nodes(map(dict, nodes))
                builder.add_online(online)
                builder.add_nodes(map(dict, online))
        return builder.build()
