"""Counts requests in memory, and writes the counts to the database later."""

from collections import Counter
from datetime import UTC, date, datetime
from time import time
from uuid import UUID

from chassis.database.postgres import is_unavailable
from chassis.ids import new_id
from chassis.telemetry.logs import log
from gateway.usage.store import RequestCountBatch, RequestUsageStore

DAY_S = 86_400
MAX_PENDING_COUNTS = 100_000  # distinct (user, endpoint, day); requests beyond are not counted


class RequestCounts:
    """Counts requests by user, endpoint and UTC day.

    ``flush`` adds the counts to the database, each batch exactly once. ``kill -9`` loses the counts since the last
    flush. An unavailable database loses nothing, up to ``MAX_PENDING_COUNTS`` distinct counts.
    """

    def __init__(self, usage: RequestUsageStore) -> None:
        self._usage = usage
        self._counts: Counter[tuple[UUID, str, str, int]] = Counter()
        self._batch: RequestCountBatch | None = None
        self._dropped = 0

    def count_request(self, user_id: UUID, method: str, path: str) -> None:
        """Count one request; ``path`` is the path template of its route."""
        key = user_id, method, path, int(time()) // DAY_S
        if len(self._counts) < MAX_PENDING_COUNTS or key in self._counts:
            self._counts[key] += 1
        else:
            self._dropped += 1

    async def flush(self) -> None:
        """Write the counts. A batch whose outcome is unknown is written again under the same id."""
        while self._batch or self._counts:
            self._batch = self._batch or self._take_next_batch()
            await self._usage.add_batch(self._batch)
            self._batch = None
        if self._dropped:
            log.error("gateway.usage.not_counted", requests=self._dropped)
            self._dropped = 0

    async def stop(self) -> None:
        """Write the last counts; if the database is unavailable, they are lost, which is logged."""
        try:
            await self.flush()
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.error("gateway.usage.lost", error=type(error).__name__)

    def _take_next_batch(self) -> RequestCountBatch:
        counts, self._counts = self._counts, Counter()
        return RequestCountBatch(
            new_id(),
            {(user, _day_to_date(day), f"{method} {path}"): n for (user, method, path, day), n in counts.items()},
        )


def _day_to_date(day: int) -> date:
    return datetime.fromtimestamp(day * DAY_S, UTC).date()
