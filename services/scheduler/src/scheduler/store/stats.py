"""Statistics of the fleet. Each statement reads only live or recent rows, through an index.

Jobs that were purged after their end are counted from ``purged_ends``.
"""

from collections.abc import Sequence
from datetime import datetime

from chassis.database.statement import Connection, Row, Statement
from scheduler.store.attempts import JOIN_CURRENT_ATTEMPT

# A tenant's oldest queued job is the first of one of its priorities: one step along ix_jobs_queue per priority.
OLDEST_QUEUED = """
    WITH RECURSIVE firsts AS (
        (SELECT j.priority, j.created_at FROM jobs j
         WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold
         ORDER BY j.priority DESC, j.id LIMIT 1)
        UNION ALL
        SELECT next.* FROM firsts, LATERAL (
            SELECT j.priority, j.created_at FROM jobs j
            WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold AND j.priority < firsts.priority
            ORDER BY j.priority DESC, j.id LIMIT 1
        ) next
    )
    SELECT min(created_at) AS created_at FROM firsts
"""
_COUNT_QUEUE = Statement(f"""
SELECT t.tier, sum(t.queued) AS waiting, coalesce(sum(h.held), 0) AS held, sum(t.running) AS running,
    extract(epoch FROM now() - min(o.created_at))::float AS oldest_wait_s
FROM tenants t
LEFT JOIN (
    SELECT tenant_id, count(*) AS held FROM jobs WHERE state = 'queued' AND on_hold GROUP BY tenant_id
) h ON h.tenant_id = t.id
LEFT JOIN LATERAL ({OLDEST_QUEUED}) o ON t.queued > 0
WHERE t.queued > 0 OR t.running > 0 OR h.held > 0
GROUP BY t.tier
""")  # noqa: S608 - constants only
_READ_TIME = Statement("SELECT now()")
_COUNT_NODES = Statement(f"""
SELECT now() AS now, count(*) AS total,
    count(*) FILTER (WHERE n.online AND n.seen_at > now() - make_interval(secs => :offline_after_s)) AS online,
    count(a.node) AS working,
    count(*) FILTER (WHERE n.cordoned_at IS NOT NULL) AS cordoned,
    count(*) FILTER (WHERE n.drain_at IS NOT NULL AND a.node IS NOT NULL) AS draining,
    count(*) FILTER (
        WHERE n.blocked AND n.online AND n.seen_at > now() - make_interval(secs => :offline_after_s)
    ) AS blocked
FROM nodes n {JOIN_CURRENT_ATTEMPT}
""")  # noqa: S608 - constants only
_MEASURE_RECENT_THROUGHPUT_AND_WAITS = Statement("""
SELECT count(*) FILTER (WHERE age <= 60) AS jobs_1, coalesce(sum(images) FILTER (WHERE age <= 60), 0) AS images_1,
    count(*) FILTER (WHERE age <= 300) AS jobs_5, coalesce(sum(images) FILTER (WHERE age <= 300), 0) AS images_5,
    count(*) AS jobs_60, coalesce(sum(images), 0) AS images_60,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS p50_s,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95_s
FROM (
    SELECT images, extract(epoch FROM now() - completed_at) AS age,
        extract(epoch FROM started_at - created_at)::float AS waited
    FROM jobs WHERE completed_at > now() - interval '1 hour'
    UNION ALL
    SELECT images, extract(epoch FROM now() - completed_at), waited_s
    FROM purged_ends WHERE completed_at > now() - interval '1 hour'
) ended
""")
_COUNT_FAILURES = Statement("""
SELECT code, count(*) AS number FROM (
    SELECT coalesce(error->>'code', 'unknown') AS code FROM jobs
    WHERE state IN ('failed', 'expired') AND completed_at > now() - interval '24 hours'
    UNION ALL
    SELECT failure FROM purged_ends WHERE failure IS NOT NULL AND completed_at > now() - interval '24 hours'
) ended
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50
""")


async def read_time(connection: Connection) -> datetime:
    """Read the time of the transaction."""
    now: datetime = await _READ_TIME.fetch_value(connection)
    return now


async def count_queue(connection: Connection) -> Sequence[Row]:
    """Count jobs per tier, without idle tiers: ``tier, waiting, held, running, oldest_wait_s``."""
    return await _COUNT_QUEUE.fetch_all(connection)


async def count_nodes(connection: Connection, *, offline_after_s: float) -> Row:
    """Count nodes: the fields of ``NodeCounts``, and ``now``."""
    row = await _COUNT_NODES.fetch_first(connection, offline_after_s=offline_after_s)
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row


async def measure_recent_throughput_and_waits(connection: Connection) -> Row:
    """Measure throughput and waiting times.

    Returns:
        ``jobs_N, images_N`` of the last N = 1, 5 and 60 minutes, and the percentiles ``p50_s, p95_s`` of the time that
        jobs of the last hour waited.
    """
    row = await _MEASURE_RECENT_THROUGHPUT_AND_WAITS.fetch_first(connection)
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row


async def count_failures(connection: Connection) -> dict[str, int]:
    """Count the error codes of jobs that ended in the last 24 hours; the 50 most frequent."""
    return {row["code"]: row["number"] for row in await _COUNT_FAILURES.fetch_all(connection)}
