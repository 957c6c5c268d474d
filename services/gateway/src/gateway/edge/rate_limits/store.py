"""The shared token buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Statement
from gateway.edge.rate_limits.domain import HOURLY_PREFIX, PREFETCH_SHARE, Policy


@dataclass(frozen=True, slots=True)
class TokenLease:
    """The whole tokens that were taken from a bucket, and the tokens that are left in it."""

    taken: int
    left: float


# Takes what is needed, and prefetches up to PREFETCH_SHARE of what remains. The clock is read under the row's lock:
# otherwise a statement that waited for the lock would use an outdated time. When the limit changes, the used part of
# the bucket stays used. The commit is asynchronous: a crash of PostgreSQL loses half a second of counts.
_LEASE_TOKENS = Statement("""
INSERT INTO rate_buckets AS bucket (key, tokens, capacity, taken, at)
SELECT :key::text, :limit::float8 - fresh.taken, :limit, fresh.taken, clock_timestamp()
FROM (SELECT least(:limit, greatest(:needed::float8, floor(:limit * :share::float8))) AS taken) AS fresh
WHERE set_config('synchronous_commit', 'off', true) = 'off'
ON CONFLICT (key) DO UPDATE SET (tokens, capacity, taken, at) = (
    SELECT available - wanted.taken, :limit, wanted.taken, refilled.at
    FROM (
        SELECT clock.at, least(:limit, bucket.tokens * :limit / bucket.capacity
            + greatest(0, extract(epoch FROM clock.at - bucket.at)) * :per_second::float8) AS available
        FROM (SELECT clock_timestamp() AS at) AS clock
    ) AS refilled, LATERAL (
        SELECT least(floor(available + 1e-9),
            greatest(:needed::float8, floor((available + :prefetched::float8) * :share) - :prefetched)) AS taken
    ) AS wanted
)
RETURNING taken, tokens
""")
_RETURN_TOKENS = Statement("""
UPDATE rate_buckets SET tokens = least(capacity, tokens + :tokens)
WHERE key = :key AND set_config('synchronous_commit', 'off', true) = 'off'
""")
# No index on the time: it would be updated with every request. The table holds the active callers of two hours.
_UNUSED_BUCKETS = ExpiredRows(
    "rate_buckets",
    "at < clock_timestamp() - :older_than::interval"
    " AND (NOT starts_with(key, :hourly) OR at < clock_timestamp() - :hourly_older_than::interval)",
)


class RateLimitStore:
    """The rate_buckets table. Only the database's clock is used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease_tokens(self, key: str, policy: Policy, *, needed: int, prefetched: int) -> TokenLease:
        """Take ``needed`` tokens and some in advance, or as many as there are, atomically.

        Args:
            key: name of the bucket, which is created full if missing.
            policy: limit and window.
            needed: tokens that requests wait for.
            prefetched: tokens that this replica already has; it prefetches fewer by that number.
        """
        async with self._database.connection() as connection:  # one statement: a transaction of its own
            row = await _LEASE_TOKENS.fetch_first(
                connection,
                key=key,
                limit=float(policy.limit),
                per_second=policy.per_second,
                share=PREFETCH_SHARE,
                needed=float(needed),
                prefetched=float(prefetched),
            )
        assert row is not None  # noqa: S101 - an upsert returns a row
        return TokenLease(taken=int(row["taken"]), left=row["tokens"])

    async def return_tokens(self, tokens: Mapping[str, int]) -> None:
        """Return unused tokens, by key. A bucket never exceeds its capacity."""
        async with self._database.connection() as connection:
            for key, count in tokens.items():  # one row per statement, so that two replicas cannot deadlock
                await _RETURN_TOKENS.execute(connection, key=key, tokens=float(count))

    async def prune(self, older_than: timedelta, *, hourly_older_than: timedelta) -> None:
        """Delete buckets that have been unused for so long that they are full.

        Args:
            older_than: unused time of a bucket of a policy with a window of a minute.
            hourly_older_than: the same for a policy whose name begins with ``HOURLY_PREFIX``.
        """
        await _UNUSED_BUCKETS.delete(
            self._database, hourly=HOURLY_PREFIX, older_than=older_than, hourly_older_than=hourly_older_than
        )
