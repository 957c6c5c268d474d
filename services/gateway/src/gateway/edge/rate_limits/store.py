"""How many requests everybody has left, over all replicas."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from chassis.database.postgres import Database
from chassis.database.statement import Statement
from gateway.edge.rate_limits.domain import HOURLY, SHARE, Policy

PRUNED = 1000  # buckets at a time


@dataclass(frozen=True, slots=True)
class TokenLease:
    """What was taken out of a bucket, whole tokens, and what is left in it."""

    taken: int
    left: float


# Takes what is needed and, while there is plenty, so much that SHARE of all is in hand. The clock is read under the
# row's lock, or a draw that waited would go back in time. A spent bucket stays as spent when its limit changes. Nobody
# waits for the disk: a crash of the server forgets half a second of draws.
_DRAW = Statement("""
INSERT INTO rate_buckets AS bucket (key, tokens, capacity, taken, at)
SELECT :key::text, :limit::float8 - fresh.taken, :limit, fresh.taken, clock_timestamp()
FROM (SELECT least(:limit, greatest(:need::float8, floor(:limit * :share::float8))) AS taken) AS fresh
WHERE set_config('synchronous_commit', 'off', true) = 'off'
ON CONFLICT (key) DO UPDATE SET (tokens, capacity, taken, at) = (
    SELECT available - wanted.taken, :limit, wanted.taken, refilled.at
    FROM (
        SELECT clock.at, least(:limit, bucket.tokens * :limit / bucket.capacity
            + greatest(0, extract(epoch FROM clock.at - bucket.at)) * :per_second::float8) AS available
        FROM (SELECT clock_timestamp() AS at) AS clock
    ) AS refilled, LATERAL (
        SELECT least(floor(available + 1e-9),
            greatest(:need::float8, floor((available + :held::float8) * :share) - :held)) AS taken
    ) AS wanted
)
RETURNING taken, tokens
""")
_GIVE = Statement("""
UPDATE rate_buckets SET tokens = least(capacity, tokens + :tokens)
WHERE key = :key AND set_config('synchronous_commit', 'off', true) = 'off'
""")
_PRUNE = Statement("""
WITH gone AS (
    DELETE FROM rate_buckets WHERE key IN (
        SELECT key FROM rate_buckets WHERE at < clock_timestamp() - :older_than::interval
            AND (NOT starts_with(key, :hourly) OR at < clock_timestamp() - :hourly_older_than::interval)
        LIMIT :at_most::int FOR UPDATE SKIP LOCKED
    ) RETURNING 1
) SELECT count(*) FROM gone
""")


class RateLimitStore:
    """The rate_buckets table. The database's clock is the only one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def draw(self, key: str, policy: Policy, *, need: int, held: int) -> TokenLease:
        """Take ``need`` tokens and some more in advance, or what there is, atomically.

        Args:
            key: of the bucket; made full if it is not there.
            need: for requests that wait.
            held: already in hand; what is drawn in advance is so much less.
        """
        async with self._database.single() as connection:  # one statement: a transaction of its own
            row = await _DRAW.first(
                connection,
                key=key,
                limit=float(policy.limit),
                per_second=policy.per_second,
                share=SHARE,
                need=float(need),
                held=float(held),
            )
        assert row is not None  # noqa: S101 - it inserts or updates
        return TokenLease(taken=int(row["taken"]), left=row["tokens"])

    async def give_back(self, tokens: Mapping[str, int]) -> None:
        """Put tokens back that were not used, by key. A bucket never holds more than its limit."""
        async with self._database.single() as connection:
            for key, count in tokens.items():  # one by one: two replicas never wait for each other
                await _GIVE.run(connection, key=key, tokens=float(count))

    async def prune(self, older_than: timedelta, *, hourly_older_than: timedelta) -> None:
        """Forget the buckets that nobody has drawn from for so long. They must be full by then.

        Args:
            older_than: of policies with a window of a minute.
            hourly_older_than: of those whose name begins with ``HOURLY``.
        """
        times = {"older_than": older_than, "hourly_older_than": hourly_older_than}
        gone = PRUNED
        while gone >= PRUNED:  # in parts: a flood of addresses leaves far more than one statement should hold
            async with self._database.single() as connection:
                gone = await _PRUNE.value(connection, hourly=HOURLY, at_most=PRUNED, **times)
