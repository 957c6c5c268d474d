"""Operators' view of the jobs of all tenants."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.jobs import JobState
from contracts.scheduler.search import SearchJobs
from scheduler.domain.job import JobSnapshot
from scheduler.domain.job_ids import build_time_window
from scheduler.store.jobs import SELECT_JOBS, build_snapshot

# The statement has only the conditions of the query, and states as literals, so that PostgreSQL can use the matching
# index, also a partial one for states that are rare among a million jobs. Queue positions are not computed here.
_CONDITIONS = {
    "before": "j.id < :before",
    "tenant_id": "j.tenant_id = :tenant_id",
    "node": "EXISTS (SELECT 1 FROM attempts t WHERE t.job_id = j.id AND t.node = :node)",
    "workflow": "j.workflow = :workflow",
    "created_after": "j.created_at >= :created_after",
    "created_before": "j.created_at < :created_before",
    "id_from": "j.id >= :id_from",
    "id_to": "j.id < :id_to",
}
_NEWEST_NODE = "(SELECT a.node FROM attempts a WHERE a.job_id = found.id ORDER BY a.attempt DESC LIMIT 1)"
_FIND_OWNER = Statement("SELECT tenant_id FROM jobs WHERE id = :id")
_LIST_ATTEMPTS = Statement("""
SELECT attempt, node, leased_at, ended_at, outcome, gpu_seconds, error FROM attempts
WHERE job_id = :id ORDER BY attempt
""")
_LOAD_FOR_RETRY = Statement("""
SELECT j.workflow, j.priority, j.labels, j.run_within_s AS run_within_seconds, j.model, j.seed,
    coalesce(j.seeds, '[]') AS seeds, j.endpoint, j.fail_without_outputs,
    g.graph, g.inputs, g.extra_data
FROM jobs j JOIN graphs g ON g.job_id = j.id WHERE j.id = :id AND j.tenant_id = :tenant_id
""")
# Also updates the tenant's row: accounts that submits have read hold the lowest waiting priority.
_SET_PRIORITY = Statement("""
WITH job AS (UPDATE jobs SET priority = :priority WHERE id = :id RETURNING tenant_id)
UPDATE tenants SET queued = queued FROM job WHERE tenants.id = job.tenant_id
""")


async def search_jobs(connection: Connection, query: SearchJobs) -> list[tuple[JobSnapshot, str | None]]:
    """Find up to ``limit + 1`` jobs, newest first, each with the node of its newest attempt."""
    filters = query.model_dump(include={"before", "tenant_id", "node", "workflow"})
    filters |= build_time_window(query.created_after, query.created_before)
    given = {name: value for name, value in filters.items() if value is not None}
    rows = await _build_search_query(given, query.states).all(connection, **given, limit=query.limit + 1)
    return [(build_snapshot(_drop_node_column(row)), row["node"]) for row in rows]


async def find_owner(connection: Connection, job_id: UUID) -> UUID | None:
    """Find the tenant of a job; None if there is no such job."""
    found: UUID | None = await _FIND_OWNER.value(connection, id=job_id)
    return found


async def list_attempts(connection: Connection, job_id: UUID) -> Sequence[Row]:
    """List the attempts of a job, oldest first: the fields of ``AttemptSummary``."""
    return await _LIST_ATTEMPTS.all(connection, id=job_id)


async def load_for_retry(connection: Connection, tenant_id: UUID, job_id: UUID) -> Row | None:
    """Load the fields of ``SubmitJob`` that are needed to submit a job again."""
    return await _LOAD_FOR_RETRY.first(connection, id=job_id, tenant_id=tenant_id)


async def set_priority(connection: Connection, job_id: UUID, priority: int) -> None:
    """Set the priority of a job that has not ended. Its lock must be held."""
    await _SET_PRIORITY.run(connection, id=job_id, priority=priority)


def _build_search_query(given: dict[str, Any], states: Sequence[JobState]) -> Statement:
    conditions = [_CONDITIONS[name] for name in given]
    if states:
        conditions.append(f"j.state IN ({', '.join(repr(state.value) for state in states)})")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    jobs = f"{SELECT_JOBS.format(position='CAST(NULL AS bigint)')} {where} ORDER BY j.id DESC LIMIT :limit"
    return Statement(f"SELECT found.*, {_NEWEST_NODE} AS node FROM ({jobs}) found ORDER BY found.id DESC")  # noqa: S608


def _drop_node_column(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "node"}
