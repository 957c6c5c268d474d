"""Reads jobs and their events."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import orjson

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.jobs import DrawnSeed, JobError, JobEvent, JobState, JobWarning, ListJobs
from contracts.scheduler.outputs import Output
from scheduler.domain.job import JobSnapshot
from scheduler.domain.job_ids import build_time_window

_NEAR = 1000  # jobs counted at either end of the queue before all jobs ahead are
_QUEUED = "FROM jobs a WHERE a.tenant_id = j.tenant_id AND a.state = 'queued' AND NOT a.on_hold"


def _count_near(order: str, *conditions: str) -> str:
    """Build a count of the queued jobs of a tenant that meet one of these conditions, up to ``_NEAR`` for each.

    Each condition is a range of ix_jobs_queue, in the order of that index, so PostgreSQL stops at the limit. A single
    priority is written as a range: with ``=``, the order would be that of the primary key, too.
    """
    end = f"ORDER BY {order} LIMIT {_NEAR}"
    ranges = " UNION ALL ".join(f"(SELECT 1 {_QUEUED} AND {condition} {end})" for condition in conditions)
    return f"(SELECT count(*) FROM ({ranges}) counted)"  # noqa: S608 - constants only


_SAME = "a.priority BETWEEN j.priority AND j.priority"
_NEAR_AHEAD = _count_near("a.priority DESC, a.id", "a.priority > j.priority", f"{_SAME} AND a.id < j.id")
_NEAR_BEHIND = _count_near("a.priority, a.id DESC", "a.priority < j.priority", f"{_SAME} AND a.id > j.id")
_COUNT_QUEUED = f"SELECT count(*) {_QUEUED}"
# Two counts, each a range of ix_jobs_queue: a single count with OR would read all queued jobs of the tenant.
_COUNT_AHEAD = f"""({_COUNT_QUEUED} AND a.priority > j.priority)
    + ({_COUNT_QUEUED} AND a.priority = j.priority AND a.id < j.id)"""
# From the end of the queue that is nearer, if one is near.
_POSITION = f"""CASE WHEN j.state = 'queued' AND NOT j.on_hold THEN (
        SELECT CASE WHEN ahead.number < {_NEAR} THEN ahead.number + 1 ELSE (
            SELECT CASE WHEN behind.number < {_NEAR} THEN t.queued - behind.number
                ELSE {_COUNT_AHEAD} + 1 END
            FROM (SELECT {_NEAR_BEHIND} AS number OFFSET 0) behind, tenants t WHERE t.id = j.tenant_id
        ) END
        FROM (SELECT {_NEAR_AHEAD} AS number OFFSET 0) ahead
    ) END"""  # noqa: S608 - constants only
COLUMNS = """
SELECT j.id, j.tenant_id, j.state, j.workflow, j.priority, j.labels, j.attempt, j.progress, j.images, j.seq,
    j.created_at, j.started_at, j.completed_at, j.outputs, j.error, j.warnings, j.model, j.seed, j.seeds, j.on_hold,
    j.retry_of, now() AS now, j.requirement_id, j.avoid_node, j.avoid_until,
    CASE WHEN j.state = 'queued' THEN
        (SELECT (e.event->>'at')::timestamptz FROM job_events e WHERE e.job_id = j.id AND e.seq = j.seq)
    END AS queued_at,
    {position} AS queue_position
FROM jobs j
"""
_COLUMNS = COLUMNS.format(position=_POSITION)
_FIND = Statement(_COLUMNS + "WHERE j.tenant_id = :tenant_id AND j.id = :id")
_FIND_ALL = Statement(_COLUMNS + "WHERE j.id = ANY(CAST(:ids AS uuid[]))")
_LIST = Statement(
    _COLUMNS
    + """
WHERE j.tenant_id = :tenant_id
    AND (CAST(:before AS uuid) IS NULL OR j.id < CAST(:before AS uuid))
    AND (CAST(:states AS text[]) IS NULL OR j.state = ANY(CAST(:states AS text[])))
    AND (CAST(:workflow AS text) IS NULL OR j.workflow = :workflow)
    AND (CAST(:label AS jsonb) IS NULL OR j.labels @> CAST(:label AS jsonb))
    AND (CAST(:id_from AS uuid) IS NULL OR j.id >= CAST(:id_from AS uuid))
    AND (CAST(:id_to AS uuid) IS NULL OR j.id < CAST(:id_to AS uuid))
    AND (CAST(:created_after AS timestamptz) IS NULL OR j.created_at >= CAST(:created_after AS timestamptz))
    AND (CAST(:created_before AS timestamptz) IS NULL OR j.created_at < CAST(:created_before AS timestamptz))
ORDER BY j.id DESC LIMIT :limit
"""
)
_LIST_EVENTS = Statement("SELECT event FROM job_events WHERE job_id = :id AND seq > :after ORDER BY seq")
# An attempt that was prefetched and handed back was no start.
_LIST_OVERDUE = Statement("""
SELECT id, tenant_id FROM jobs
WHERE state = 'queued' AND start_by < now() AND NOT EXISTS (
    SELECT 1 FROM attempts a WHERE a.job_id = jobs.id AND NOT a.prefetched
) ORDER BY start_by LIMIT 100
""")


async def find_job(connection: Connection, tenant_id: UUID, job_id: UUID) -> JobSnapshot | None:
    """Find a job of the tenant."""
    row = await _FIND.first(connection, tenant_id=tenant_id, id=job_id)
    return snapshot_from_row(row) if row else None


async def find_jobs(connection: Connection, job_ids: Iterable[UUID]) -> dict[UUID, JobSnapshot]:
    """Find jobs of any tenant, by id. Missing jobs are left out."""
    return {row["id"]: snapshot_from_row(row) for row in await _FIND_ALL.all(connection, ids=[*job_ids])}


async def list_jobs(connection: Connection, tenant_id: UUID, query: ListJobs) -> list[JobSnapshot]:
    """List up to ``limit + 1`` jobs of the tenant, newest first. The extra one shows that there is a next page."""
    parameters = {
        "tenant_id": tenant_id,
        "before": query.before,
        "states": [*query.states] or None,
        "workflow": query.workflow,
        "label": orjson.dumps(dict([query.label])).decode() if query.label else None,
        "limit": query.limit + 1,
        **build_time_window(query.created_after, query.created_before),
    }
    return [snapshot_from_row(row) for row in await _LIST.all(connection, **parameters)]


async def list_events(connection: Connection, job_id: UUID, after: int) -> tuple[JobEvent, ...]:
    """List the job's events with a ``seq`` greater than ``after``, in order."""
    rows = await _LIST_EVENTS.all(connection, id=job_id, after=after)
    return tuple(JobEvent.model_validate(row["event"]) for row in rows)


async def list_overdue_jobs(connection: Connection) -> Sequence[Row]:
    """List up to 100 queued jobs (id, tenant_id) that have not started by ``start_by``. Takes no lock."""
    return await _LIST_OVERDUE.all(connection)


def snapshot_from_row(row: Row) -> JobSnapshot:
    """Build a snapshot from a row of ``COLUMNS``."""
    return JobSnapshot(
        **{
            **row,
            "state": JobState(row["state"]),
            "outputs": tuple(Output.model_validate(output) for output in row["outputs"] or ()),
            "error": JobError.model_validate(row["error"]) if row["error"] else None,
            "warnings": tuple(JobWarning.model_validate(warning) for warning in row["warnings"] or ()),
            "seed": None if row["seed"] is None else int(row["seed"]),
            "seeds": tuple(DrawnSeed.model_validate(seed) for seed in row["seeds"] or ()),
        }
    )
