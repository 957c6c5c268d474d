"""Reads jobs and their events."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import orjson

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.jobs import DrawnSeed, JobError, JobEvent, JobState, JobWarning, ListJobs
from contracts.scheduler.outputs import Output
from scheduler.domain.job import JobSnapshot
from scheduler.domain.job_ids import build_time_window
from scheduler.domain.settlement import UNCOUNTED_OUTCOMES
from scheduler.domain.states import Cause

# Jobs counted at either end of a tenant's queue: few at first, because most jobs that are read are near an end.
# Positions up to the last number, and that far from the end of the queue, are exact.
_NEAR = (100, 1000)
_QUEUED = "FROM jobs a WHERE a.tenant_id = j.tenant_id AND a.state = 'queued' AND NOT a.on_hold"


def _build_bounded_count(most: int, order: str, *conditions: str) -> str:
    """Build a count of the queued jobs of a tenant that meet one of these conditions, up to ``most``.

    Each condition is a range of ix_jobs_queue, in the order of that index, so PostgreSQL stops at the limit. A single
    priority is written as a range: with ``=``, the order would be that of the primary key, too.
    """
    end = f"ORDER BY {order} LIMIT {most}"
    ranges = " UNION ALL ".join(f"(SELECT 1 {_QUEUED} AND {condition} {end})" for condition in conditions)
    return f"(SELECT count(*) FROM ({ranges} LIMIT {most}) counted)"  # noqa: S608 - constants only


_SAME = "a.priority BETWEEN j.priority AND j.priority"


def _build_count_ahead(most: int) -> str:
    return _build_bounded_count(most, "a.priority DESC, a.id", "a.priority > j.priority", f"{_SAME} AND a.id < j.id")


def _build_count_behind(most: int) -> str:
    return _build_bounded_count(most, "a.priority, a.id DESC", "a.priority < j.priority", f"{_SAME} AND a.id > j.id")


def _build_single_job_query(columns: str, order: str, condition: str = "true") -> str:
    """Build a query for one queued job of a tenant at an end of a range of ix_jobs_queue."""
    return f"SELECT {columns} {_QUEUED} AND {condition} ORDER BY {order} LIMIT 1"


# Far from both ends of the queue: as if all priorities had equally many jobs, submitted at an even rate.
_SHARE_AHEAD = f"""(
    SELECT (first.priority - j.priority + coalesce(
        extract(epoch FROM j.created_at - oldest.created_at)
        / nullif(extract(epoch FROM newest.created_at - oldest.created_at), 0), 0.5
    )) / (first.priority - last.priority + 1)
    FROM ({_build_single_job_query("a.priority", "a.priority DESC, a.id")}) first,
        ({_build_single_job_query("a.priority", "a.priority, a.id DESC")}) last,
        ({_build_single_job_query("a.created_at", "a.priority DESC, a.id", _SAME)}) oldest,
        ({_build_single_job_query("a.created_at", "a.priority, a.id DESC", _SAME)}) newest
)"""  # noqa: S608 - constants only


def _build_position_query(near: int, farther: str) -> str:
    """Build SQL for a job's queue position: exact within ``near`` of either end, else the expression ``farther``."""
    return f"""(
    SELECT CASE WHEN ahead.number < {near} THEN ahead.number + 1 ELSE (
        SELECT CASE WHEN behind.number < {near} THEN t.queued - behind.number ELSE {farther} END
        FROM (SELECT {_build_count_behind(near)} AS number OFFSET 0) behind
    ) END FROM (SELECT {_build_count_ahead(near)} AS number OFFSET 0) ahead
)"""  # noqa: S608 - constants only


_ESTIMATED = f"(greatest({_NEAR[-1]}, least(t.queued - {_NEAR[-1]}, round(t.queued * {_SHARE_AHEAD}))) + 1)::bigint"
_NEAR_POSITION = _build_position_query(_NEAR[0], _build_position_query(_NEAR[1], _ESTIMATED))
_POSITION = f"""CASE WHEN j.state = 'queued' AND NOT j.on_hold THEN (
    SELECT {_NEAR_POSITION} FROM tenants t WHERE t.id = j.tenant_id
) END"""  # noqa: S608 - constants only
SELECT_JOBS = """
SELECT j.id, j.tenant_id, j.state, j.workflow, j.priority, j.labels, j.attempt, j.progress, j.images, j.seq,
    j.created_at, j.started_at, j.completed_at, j.outputs, j.error, j.warnings, j.model, j.seed, j.seeds, j.on_hold,
    j.retry_of, now() AS now, j.requirement_id, j.avoid_node, j.avoid_until, j.fingerprint,
    CASE WHEN j.state = 'queued' THEN
        (SELECT (e.event->>'at')::timestamptz FROM job_events e WHERE e.job_id = j.id AND e.seq = j.seq)
    END AS queued_at,
    {position} AS queue_position
FROM jobs j
"""
_SELECT_JOBS_WITH_POSITION = SELECT_JOBS.format(position=_POSITION)
_FIND = Statement(_SELECT_JOBS_WITH_POSITION + "WHERE j.tenant_id = :tenant_id AND j.id = :id")
_FIND_ALL = Statement(_SELECT_JOBS_WITH_POSITION + "WHERE j.id = ANY(CAST(:ids AS uuid[]))")
_LIST = Statement(
    _SELECT_JOBS_WITH_POSITION
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
# An attempt that was handed back counts only if its start was reported. Any other one has started, even if the report
# of its start was lost.
_IS_PAST_START_BY = f"""state = 'queued' AND start_by < now() AND NOT EXISTS (
    SELECT 1 FROM attempts a WHERE a.job_id = jobs.id AND a.outcome NOT IN {UNCOUNTED_OUTCOMES}
) AND NOT EXISTS (
    SELECT 1 FROM job_events e WHERE e.job_id = jobs.id AND e.event->>'cause' = '{Cause.STARTED}'
)"""  # noqa: S608 - constants only
_LIST_PAST_START_BY = Statement(f"SELECT id, tenant_id FROM jobs WHERE {_IS_PAST_START_BY} ORDER BY start_by LIMIT 100")  # noqa: S608 - constants only
_CHECK_PAST_START_BY = Statement(f"SELECT EXISTS (SELECT 1 FROM jobs WHERE id = :id AND {_IS_PAST_START_BY})")  # noqa: S608 - constants only


async def find_job(connection: Connection, tenant_id: UUID, job_id: UUID) -> JobSnapshot | None:
    row = await _FIND.fetch_first(connection, tenant_id=tenant_id, id=job_id)
    return build_snapshot(row) if row else None


async def find_jobs(connection: Connection, job_ids: Iterable[UUID]) -> dict[UUID, JobSnapshot]:
    """Find jobs of any tenant, by id. Missing jobs are left out."""
    return {row["id"]: build_snapshot(row) for row in await _FIND_ALL.fetch_all(connection, ids=[*job_ids])}


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
    return [build_snapshot(row) for row in await _LIST.fetch_all(connection, **parameters)]


async def list_events(connection: Connection, job_id: UUID, after: int) -> tuple[JobEvent, ...]:
    """List the job's events with a ``seq`` greater than ``after``, in order."""
    rows = await _LIST_EVENTS.fetch_all(connection, id=job_id, after=after)
    return tuple(JobEvent.model_validate(row["event"]) for row in rows)


async def list_jobs_past_start_by(connection: Connection) -> Sequence[Row]:
    """List up to 100 queued jobs (id, tenant_id) that have not started by ``start_by``. Takes no lock."""
    return await _LIST_PAST_START_BY.fetch_all(connection)


async def is_past_start_by(connection: Connection, job_id: UUID) -> bool:
    """Whether ``list_jobs_past_start_by`` would list the job. Certain while its tenant and the job are locked."""
    is_past: bool = await _CHECK_PAST_START_BY.fetch_value(connection, id=job_id)
    return is_past


def build_snapshot(row: Row) -> JobSnapshot:
    """Build a snapshot from a row that ``SELECT_JOBS`` selects."""
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
