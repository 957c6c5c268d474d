"""How the fleet does. Each statement reads what is live or recent, by an index; none reads every job.

Jobs that were purged since they ended count like those that are there: ``purged_ends``.
"""

from collections.abc import Sequence

from chassis.database.statement import Connection, Row, Statement

# The oldest of a tenant's waiting jobs is the first of one of its priorities: a hop along ix_jobs_queue for each.
_QUEUE = Statement("""
SELECT t.tier, sum(t.queued) AS waiting, coalesce(sum(h.held), 0) AS held, sum(t.running) AS running,
    extract(epoch FROM now() - min(o.created_at))::float AS oldest_wait_s
FROM tenants t
LEFT JOIN (
    SELECT tenant_id, count(*) AS held FROM jobs WHERE state = 'queued' AND on_hold GROUP BY tenant_id
) h ON h.tenant_id = t.id
LEFT JOIN LATERAL (
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
) o ON t.queued > 0
WHERE t.queued > 0 OR t.running > 0 OR h.held > 0
GROUP BY t.tier
""")
_NODES = Statement("""
SELECT now() AS now, count(*) AS total,
    count(*) FILTER (WHERE n.online AND n.seen_at > now() - make_interval(secs => :online_s)) AS online,
    count(a.node) AS working,
    count(*) FILTER (WHERE n.cordoned_at IS NOT NULL) AS cordoned,
    count(*) FILTER (WHERE n.drain_at IS NOT NULL AND a.node IS NOT NULL) AS draining,
    count(*) FILTER (WHERE n.blocked AND n.online AND n.seen_at > now() - make_interval(secs => :online_s)) AS blocked
FROM nodes n LEFT JOIN attempts a ON a.node = n.name AND a.ended_at IS NULL
""")
_HOUR = Statement("""
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
_FAILURES = Statement("""
SELECT code, count(*) AS number FROM (
    SELECT coalesce(error->>'code', 'unknown') AS code FROM jobs
    WHERE state IN ('failed', 'expired') AND completed_at > now() - interval '24 hours'
    UNION ALL
    SELECT failure FROM purged_ends WHERE failure IS NOT NULL AND completed_at > now() - interval '24 hours'
) ended
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50
""")


async def queue(connection: Connection) -> Sequence[Row]:
    """For each tier with any: ``tier, waiting, held, running, oldest_wait_s``."""
    return await _QUEUE.all(connection)


async def nodes(connection: Connection, *, online_s: float) -> Row:
    """The fields of ``NodeCounts``, and ``now``."""
    row = await _NODES.first(connection, online_s=online_s)
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row


async def hour(connection: Connection) -> Row:
    """``jobs_N, images_N`` of the last 1, 5 and 60 minutes, and how long those of the hour waited: ``p50_s, p95_s``."""
    row = await _HOUR.first(connection)
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row


async def failures(connection: Connection) -> dict[str, int]:
    """How often each error code ended a job in 24 hours, the most frequent 50."""
    return {row["code"]: row["number"] for row in await _FAILURES.all(connection)}
