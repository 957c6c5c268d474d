"""Caches the run times of finished jobs in memory, so that estimates read nothing from the database."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic

from chassis.database.statement import Connection
from scheduler.domain.run_times import Bins, HistogramKey, HistogramScope, RunTimes
from scheduler.store import run_times

FRESH_S = 5.0  # how long run times are cached that other schedulers recorded
REREAD_OVERLAP = timedelta(seconds=10)  # a transaction commits at most this long after its timestamp
MAX_CACHED = 2 * run_times.MAX_ROWS * len(HistogramScope)  # beyond, all are read again, without pruned histograms


class RunTimeHistory:
    def __init__(self) -> None:
        self.run_times = RunTimes()
        self.version = 0
        """Increases with every change."""
        self._since: datetime | None = None
        self._until = 0.0

    async def refresh_history(self, connection: Connection) -> None:
        """Read changed histograms, unless that was done in the last ``FRESH_S`` seconds."""
        if monotonic() < self._until:
            return
        self._until = monotonic() + FRESH_S  # set before the query, so that other calls do not repeat it meanwhile
        if len(self.run_times) > MAX_CACHED:
            self.run_times, self._since = RunTimes(), None
        try:
            rows = await run_times.list_histograms_since(connection, self._since)
        except BaseException:
            self._until = 0.0
            raise
        self.replace_histograms({run_times.build_histogram_key(row): run_times.parse_bins(row) for row in rows})
        if rows:
            self._since = rows[-1]["updated_at"] - REREAD_OVERLAP

    def replace_histograms(self, histograms: Mapping[HistogramKey, Bins]) -> None:
        """Replace histograms by newer ones."""
        for key, bins in histograms.items():
            self.run_times.replace_histogram(key, bins)
        self.version += bool(histograms)
