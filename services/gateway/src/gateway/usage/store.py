"""Request counts by user, endpoint and UTC day."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Statement

CountKey = tuple[UUID, date, str]
"""User, day and endpoint of a count."""


@dataclass(frozen=True, slots=True)
class RequestCountBatch:
    """Requests counted by one replica. Adding a batch with the same ``id`` again changes nothing."""

    id: UUID
    counts: Mapping[CountKey, int]


# Ordered by key, so that two replicas cannot deadlock.
_ADD = Statement("""
WITH new_batch AS (INSERT INTO usage_batches (id) VALUES (:id) ON CONFLICT (id) DO NOTHING RETURNING id)
INSERT INTO usage_requests AS kept (user_id, day, endpoint, requests)
SELECT counted.* FROM new_batch, unnest(
    CAST(:users AS uuid[]), CAST(:days AS date[]), CAST(:endpoints AS text[]), CAST(:requests AS bigint[])
) AS counted (user_id, day, endpoint, requests)
ORDER BY 1, 2, 3
ON CONFLICT (user_id, day, endpoint) DO UPDATE SET requests = kept.requests + excluded.requests
""")
_READ = """
SELECT day, endpoint, sum(requests)::bigint AS requests FROM usage_requests
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer) {user_condition} GROUP BY day, endpoint
"""
_READ_OF_USER = Statement(_READ.format(user_condition="AND user_id = :user_id"))
_READ_OF_ALL = Statement(_READ.format(user_condition=""))
_EXPIRED_REQUESTS = ExpiredRows("usage_requests", "day <= (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)")
_EXPIRED_BATCHES = ExpiredRows("usage_batches", "added_at < now() - interval '1 hour'")


class RequestUsageStore:
    """The usage_requests table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_batch(self, batch: RequestCountBatch) -> None:
        """Add a batch, once."""
        keys = list(batch.counts)
        async with self._database.single() as connection:  # one statement: a transaction of its own
            await _ADD.run(
                connection,
                id=batch.id,
                users=[user for user, _, _ in keys],
                days=[day for _, day, _ in keys],
                endpoints=[endpoint for _, _, endpoint in keys],
                requests=list(batch.counts.values()),
            )

    async def read_requests(self, user_id: UUID | None, *, days: int) -> dict[date, dict[str, int]]:
        """Return the requests of the last UTC days by endpoint, of one user or of all."""
        statement, user = (_READ_OF_ALL, {}) if user_id is None else (_READ_OF_USER, {"user_id": user_id})
        found: defaultdict[date, dict[str, int]] = defaultdict(dict)
        async with self._database.single() as connection:
            for row in await statement.all(connection, days=days, **user):
                found[row["day"]][row["endpoint"]] = row["requests"]
        return dict(found)

    async def delete_old(self, *, keep: int) -> None:
        """Delete all but the last ``keep`` UTC days, and ids of batches that will not be repeated."""
        await _EXPIRED_REQUESTS.delete(self._database, days=keep)
        await _EXPIRED_BATCHES.delete(self._database)
