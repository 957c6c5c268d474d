"""Totals of jobs, durations, failures and nodes by minute and hour.

Each source reads the rows of a range of whole minutes through an index: jobs by ``completed_at`` and by id, attempts by
``ended_at``. A range that is not over yet is counted with every request, so it must be short.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row, Statement
from scheduler.domain.durations import BIN_COUNT, BIN_RATIO, SMALLEST_BIN_S
from scheduler.domain.job_ids import build_time_window

MINUTE_S, TEN_MINUTES_S, HOUR_S = 60, 600, 3600
KEEP_MINUTES = "2 days"
MAX_SKEW_MS = 300_000  # a job whose id has a timestamp that is further off does not count as submitted
_LOCK_KEY = 0x7472656E6473  # "trends"

_EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00Z'"
_MINUTE = f"date_bin('1 minute', {{}}, {_EPOCH})"
_START, _END = "CAST(:start AS timestamptz)", "CAST(:end AS timestamptz)"
_ENDED = f"completed_at >= {_START} AND completed_at < {_END}"
_MINUTE_SERIES = f"generate_series({_MINUTE.format(_START)}, {_END} - interval '1 microsecond', interval '1 minute')"
_SUBMITTED = f"""
    SELECT {_MINUTE.format("created_at")} AS at, count(*) AS submitted FROM jobs
    WHERE id >= :id_from AND id < :id_to AND created_at >= {_START} AND created_at < {_END} GROUP BY 1
"""  # noqa: S608 - constants only
_ENDED_JOBS = f"""
    SELECT {_MINUTE.format("completed_at")} AS at, count(*) FILTER (WHERE state = 'succeeded') AS completed,
        count(*) FILTER (WHERE state IN ('failed', 'expired')) AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled, sum(images) AS images
    FROM jobs WHERE {_ENDED} GROUP BY 1
"""  # noqa: S608 - constants only
# Attempts that ended in the range or later, or are live, and began before the end of the range.
_NODES = f"""
    SELECT m.at, a.node, count(*) FILTER (WHERE a.leased_at >= m.at) AS started,
        count(*) FILTER (WHERE a.ended_at < m.until AND a.outcome = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE a.ended_at < m.until AND a.outcome = 'failed') AS failed,
        count(*) FILTER (WHERE a.ended_at < m.until AND a.outcome = 'node_fault') AS faults,
        sum(greatest(extract(epoch FROM least(a.ended_at, m.until, now()) - greatest(a.leased_at, m.at)), 0))::float
            AS busy_s
    FROM (
        SELECT at, at + interval '1 minute' AS until
        FROM {_MINUTE_SERIES} at
    ) m JOIN (
        SELECT node, leased_at, ended_at, outcome FROM attempts
        WHERE ended_at >= {_START} AND leased_at < {_END} AND NOT prefetched
        UNION ALL
        SELECT node, leased_at, 'infinity', NULL FROM attempts
        WHERE ended_at IS NULL AND leased_at < {_END} AND NOT prefetched
    ) a ON a.leased_at < m.until AND a.ended_at >= m.at
    GROUP BY 1, 2
"""  # noqa: S608 - constants only
_JOBS = f"""
    SELECT m.at, coalesce(s.submitted, 0) AS submitted, coalesce(n.started, 0) AS started,
        coalesce(e.completed, 0) AS completed, coalesce(e.failed, 0) AS failed, coalesce(e.cancelled, 0) AS cancelled,
        coalesce(e.images, 0)::bigint AS images, coalesce(n.busy_s, 0) AS busy_s
    FROM {_MINUTE_SERIES} m(at)
    LEFT JOIN ({_SUBMITTED}) s ON s.at = m.at
    LEFT JOIN ({_ENDED_JOBS}) e ON e.at = m.at
    LEFT JOIN (
        SELECT at, sum(started)::integer AS started, sum(busy_s) AS busy_s FROM ({_NODES}) by_node GROUP BY 1
    ) n ON n.at = m.at
"""  # noqa: S608 - constants only
_BIN_NUMBER = f"floor(ln(greatest(seconds, {SMALLEST_BIN_S}) / {SMALLEST_BIN_S}) / ln({BIN_RATIO}))"
_BIN = f"least(greatest({_BIN_NUMBER}, 0), {BIN_COUNT - 1})::integer"
_DURATIONS = f"""
    SELECT {_MINUTE.format("completed_at")} AS at, kind, {_BIN} AS bin, count(*)::integer AS jobs
    FROM jobs, LATERAL (VALUES
        ('wait', extract(epoch FROM started_at - created_at)::float),
        ('run', extract(epoch FROM completed_at - started_at)::float)
    ) AS took(kind, seconds)
    WHERE {_ENDED} AND started_at IS NOT NULL GROUP BY 1, 2, 3
"""  # noqa: S608 - constants only
_FAILURES = f"""
    SELECT {_MINUTE.format("completed_at")} AS at, coalesce(error->>'code', 'unknown') AS code,
        count(*)::integer AS jobs, (array_agg(id ORDER BY completed_at DESC))[1] AS job_id
    FROM jobs WHERE state IN ('failed', 'expired') AND {_ENDED} GROUP BY 1, 2
"""  # noqa: S608 - constants only
_ONLINE_NOW = "online AND seen_at > now() - make_interval(secs => :offline_after_s)"


def _build_add_statement(
    table: str, keys: Sequence[str], numbers: Sequence[str], source: str, *, steps: tuple[int, int]
) -> Statement:
    """Return a statement that adds the source rows to the totals at both step sizes."""
    summed = ", ".join(f"sum({name})" for name in numbers)
    added = ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in numbers)
    own = "".join(f", {key}" for key in keys)
    return Statement(f"""
INSERT INTO {table} AS kept (step_s, at{own}, {", ".join(numbers)})
SELECT step_s, date_bin(make_interval(secs => step_s), at, {_EPOCH}){own}, {summed}
FROM ({source}) source, (VALUES ({steps[0]}), ({steps[1]})) AS steps(step_s)
GROUP BY {", ".join(str(number) for number in range(1, 3 + len(keys)))}
ON CONFLICT (step_s, at{own}) DO UPDATE SET {added}
""")  # noqa: S608 - constants only


_JOB_NUMBERS = ("submitted", "started", "completed", "failed", "cancelled", "images", "busy_s", "online_s")
_TYPES = {"busy_s": "float", "online_s": "float"}
_NODE_NUMBERS = ("started", "succeeded", "failed", "faults", "busy_s", "online_s")
_ONLINE_LAST_MINUTE = f"""
    SELECT {_END} - interval '1 minute' AS at, name AS node, {MINUTE_S}::float AS online_s
    FROM nodes WHERE {_ONLINE_NOW}
"""  # noqa: S608 - constants only
_ADD_JOBS = _build_add_statement(
    "trend_jobs",
    (),
    _JOB_NUMBERS,
    f"""
    SELECT *, CASE WHEN at = {_END} - interval '1 minute' THEN (
        SELECT coalesce(sum(online_s), 0)::float FROM ({_ONLINE_LAST_MINUTE}) o
    ) ELSE 0 END AS online_s FROM ({_JOBS}) j
    """,  # noqa: S608 - constants only
    steps=(MINUTE_S, HOUR_S),
)
_ADD_DURATIONS = _build_add_statement(
    "trend_durations", ("kind", "bin"), ("jobs",), _DURATIONS, steps=(MINUTE_S, HOUR_S)
)
_ADD_NODES = _build_add_statement(
    "trend_nodes",
    ("node",),
    _NODE_NUMBERS,
    f"""
    SELECT at, node, started, succeeded, failed, faults, busy_s, 0.0 AS online_s FROM ({_NODES}) n
    UNION ALL SELECT at, node, 0, 0, 0, 0, 0.0, online_s FROM ({_ONLINE_LAST_MINUTE}) o
    """,  # noqa: S608 - constants only
    steps=(TEN_MINUTES_S, HOUR_S),
)
_ADD_FAILURES = Statement(f"""
INSERT INTO trend_failures AS kept (step_s, at, code, jobs, job_id)
SELECT step_s, date_bin(make_interval(secs => step_s), at, {_EPOCH}), code, sum(jobs),
    (array_agg(job_id ORDER BY at DESC))[1]
FROM ({_FAILURES}) source, (VALUES ({MINUTE_S}), ({HOUR_S})) AS steps(step_s) GROUP BY 1, 2, 3
ON CONFLICT (step_s, at, code) DO UPDATE SET jobs = kept.jobs + excluded.jobs, job_id = excluded.job_id
""")  # noqa: S608 - constants only
_TRY_LOCK = Statement("SELECT pg_try_advisory_xact_lock(:key)")
_READ_PROGRESS = Statement(f"""
SELECT now() AS now, {_MINUTE.format("now()")} AS minute,
    (SELECT max(at) + interval '1 minute' FROM trend_jobs WHERE step_s = {MINUTE_S}) AS next
""")  # noqa: S608 - constants only
_USE_ONE_SNAPSHOT = Statement("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
_BUCKET = f"date_bin(make_interval(secs => CAST(:step_s AS float)), at, {_EPOCH})"
_IN_WINDOW = "step_s = :stored_s AND at >= :start AND at < :end"
_SUMMED_JOBS = ", ".join(f"sum({name})::{_TYPES.get(name, 'bigint')} AS {name}" for name in _JOB_NUMBERS)
_SUMMED_NODES = ", ".join(f"sum({name})::{_TYPES.get(name, 'bigint')} AS {name}" for name in _NODE_NUMBERS)
_LIST_JOBS = Statement(f"""
SELECT {_BUCKET} AS at, {_SUMMED_JOBS}
FROM trend_jobs WHERE {_IN_WINDOW} GROUP BY 1
""")  # noqa: S608 - constants only
_LIST_DURATIONS = Statement(f"""
SELECT {_BUCKET} AS at, kind, bin, sum(jobs) AS jobs FROM trend_durations WHERE {_IN_WINDOW} GROUP BY 1, 2, 3
""")  # noqa: S608 - constants only
_LIST_FAILURES = Statement(f"""
SELECT code, sum(jobs) AS jobs, (array_agg(job_id ORDER BY at DESC) FILTER (WHERE job_id IS NOT NULL))[1] AS job_id
FROM trend_failures WHERE {_IN_WINDOW} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100
""")  # noqa: S608 - constants only
_LIST_NODES = Statement(f"""
SELECT node, {_SUMMED_NODES}
FROM trend_nodes WHERE {_IN_WINDOW} GROUP BY 1 ORDER BY 1 LIMIT 1000
""")  # noqa: S608 - constants only
_COUNT_JOBS = Statement(_JOBS)
_COUNT_DURATIONS = Statement(_DURATIONS)
_COUNT_FAILURES = Statement(_FAILURES)
_COUNT_NODES = Statement(_NODES)
_COUNT_ONLINE = Statement(f"""
SELECT m.at, n.name AS node,
    extract(epoch FROM least({_END}, m.at + interval '1 minute') - greatest({_START}, m.at))::float AS online_s
FROM {_MINUTE_SERIES} m(at), nodes n WHERE {_ONLINE_NOW}
""")  # noqa: S608 - constants only
_EXPIRED = (
    *(
        ExpiredRows(table, f"step_s < {HOUR_S} AND at < now() - interval '{KEEP_MINUTES}'")
        for table in ("trend_jobs", "trend_durations", "trend_failures", "trend_nodes")
    ),
    *(
        ExpiredRows(table, f"step_s = {HOUR_S} AND at < now() - interval '32 days'")
        for table in ("trend_jobs", "trend_durations", "trend_failures", "trend_nodes")
    ),
)


async def try_lock_totals(connection: Connection) -> bool:
    """Lock the totals until the transaction ends, unless another process has locked them."""
    locked: bool = await _TRY_LOCK.fetch_value(connection, key=_LOCK_KEY)
    return locked


async def read_progress(connection: Connection) -> Row:
    """Read ``now``, the ``minute`` of now, and ``next``: the first minute that has no totals.

    ``next`` is None if no minute has totals.
    """
    row = await _READ_PROGRESS.fetch_first(connection)
    assert row is not None  # noqa: S101 - one row
    return row


async def add_totals(connection: Connection, start: datetime, end: datetime, *, offline_after_s: float) -> None:
    """Add the totals of these whole minutes. The lock must be held, and none of them may have been added before.

    Nodes that are online now count as online in the last of these minutes.
    """
    parameters = _build_range_parameters(start, end) | {"offline_after_s": offline_after_s}
    for statement in (_ADD_JOBS, _ADD_DURATIONS, _ADD_FAILURES, _ADD_NODES):
        await statement.execute(connection, **parameters)


async def use_one_snapshot(connection: Connection) -> None:
    """Make all statements of this transaction read the same state. Must be its first statement."""
    await _USE_ONE_SNAPSHOT.execute(connection)


async def list_totals(
    connection: Connection, start: datetime, end: datetime, *, step_s: int, stored_s: int, nodes_stored_s: int
) -> tuple[Sequence[Row], Sequence[Row], Sequence[Row], Sequence[Row]]:
    """List stored totals of a window: jobs and durations by bucket, failures by code, and nodes.

    Args:
        stored_s: length of the stored periods to read.
        nodes_stored_s: length of the stored periods of nodes to read; the window begins at a multiple of it.
    """
    window: dict[str, Any] = {"start": start, "end": end, "step_s": step_s, "stored_s": stored_s}
    earlier = int(start.timestamp()) // nodes_stored_s * nodes_stored_s
    of_nodes = {"start": datetime.fromtimestamp(earlier, start.tzinfo), "end": end, "stored_s": nodes_stored_s}
    return (
        await _LIST_JOBS.fetch_all(connection, **window),
        await _LIST_DURATIONS.fetch_all(connection, **window),
        await _LIST_FAILURES.fetch_all(connection, **window),
        await _LIST_NODES.fetch_all(connection, **of_nodes),
    )


async def count_recent_totals(
    connection: Connection, start: datetime, end: datetime, *, offline_after_s: float
) -> tuple[Sequence[Row], Sequence[Row], Sequence[Row], Sequence[Row], Sequence[Row]]:
    """Count jobs, durations, failures and nodes of a short range by minute, and list the nodes that are online now."""
    parameters = _build_range_parameters(start, end)
    return (
        await _COUNT_JOBS.fetch_all(connection, **parameters),
        await _COUNT_DURATIONS.fetch_all(connection, **parameters),
        await _COUNT_FAILURES.fetch_all(connection, **parameters),
        await _COUNT_NODES.fetch_all(connection, **parameters),
        await _COUNT_ONLINE.fetch_all(connection, **parameters, offline_after_s=offline_after_s),
    )


async def prune_totals(database: Database) -> None:
    """Delete totals by minute after two days, and totals by hour after 32 days."""
    for expired in _EXPIRED:
        await expired.delete(database)


def _build_range_parameters(start: datetime, end: datetime) -> dict[str, Any]:
    window = build_time_window(start, end, skew_ms=MAX_SKEW_MS)
    return {"start": start, "end": end, "id_from": window["id_from"], "id_to": window["id_to"]}
