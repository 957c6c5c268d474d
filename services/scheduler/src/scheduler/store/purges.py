"""Deletes ended jobs with everything that belongs to them, and publishes the deletion in the same transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row, Statement
from chassis.ids import new_id
from contracts.scheduler.jobs import JobState
from contracts.scheduler.purges import JOB_PURGED, JobPurged

_HAS_LIVE_ATTEMPT = "EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.ended_at IS NULL)"
_LOCK_JOB = Statement(f"""
SELECT j.id, j.tenant_id, j.state, {_HAS_LIVE_ATTEMPT} AS is_stopping, now() AS now
FROM jobs j WHERE j.id = :id AND j.tenant_id = :tenant_id FOR UPDATE
""")  # noqa: S608 - constants only
# Forces one lookup in ix_jobs_ended per tenant, regardless of the number of jobs that the planner expects.
_LIST_TENANTS_TO_PURGE = Statement("""
SELECT page.id, expired.id IS NOT NULL AS has_expired_jobs
FROM (SELECT id, result_days FROM tenants WHERE id > :after ORDER BY id LIMIT :page) page LEFT JOIN LATERAL (
    SELECT j.id FROM jobs j
    WHERE j.tenant_id = page.id AND j.completed_at < now() - make_interval(days => page.result_days)
    ORDER BY j.completed_at LIMIT 1
) expired ON true ORDER BY page.id
""")
_LOCK_EXPIRED = Statement(f"""
SELECT expired.id, expired.tenant_id, now() AS now FROM tenants t CROSS JOIN LATERAL (
    SELECT j.id, j.tenant_id FROM jobs j
    WHERE j.tenant_id = t.id AND j.completed_at < now() - make_interval(days => t.result_days)
        AND NOT {_HAS_LIVE_ATTEMPT}
    ORDER BY j.completed_at LIMIT :batch FOR UPDATE OF j SKIP LOCKED
) expired WHERE t.id = ANY(CAST(:tenant_ids AS uuid[])) LIMIT :batch
""")  # noqa: S608 - constants only
_LOCK_ENDED = Statement(f"""
SELECT j.id, j.tenant_id, now() AS now FROM jobs j
WHERE j.tenant_id = :tenant_id AND j.completed_at IS NOT NULL AND NOT {_HAS_LIVE_ATTEMPT}
LIMIT :batch FOR UPDATE OF j SKIP LOCKED
""")  # noqa: S608 - constants only
_LIST_LIVE = Statement("SELECT id FROM jobs WHERE tenant_id = :tenant_id AND completed_at IS NULL")
_LOCK_TENANT = Statement("SELECT 1 FROM tenants WHERE id = :tenant_id FOR UPDATE")
_HAS_JOBS = Statement("SELECT EXISTS (SELECT 1 FROM jobs WHERE tenant_id = :tenant_id)")
_DELETE_TENANT = (
    Statement("DELETE FROM spent_keys WHERE tenant_id = :tenant_id"),
    Statement("DELETE FROM dead_letters WHERE tenant_id = :tenant_id"),
    Statement("""
        WITH deleted AS (DELETE FROM usage_days WHERE tenant_id = :tenant_id RETURNING day, jobs, images, gpu_seconds)
        INSERT INTO erased_usage AS kept (day, jobs, images, gpu_seconds) SELECT * FROM deleted ORDER BY day
        ON CONFLICT (day) DO UPDATE SET jobs = kept.jobs + excluded.jobs, images = kept.images + excluded.images,
            gpu_seconds = kept.gpu_seconds + excluded.gpu_seconds
    """),
    Statement("""
        WITH deleted AS (
            DELETE FROM usage_endpoints WHERE tenant_id = :tenant_id RETURNING day, endpoint, images, gpu_seconds
        )
        INSERT INTO usage_endpoints AS kept (tenant_id, day, endpoint, images, gpu_seconds)
        SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid), deleted.* FROM deleted ORDER BY day, endpoint
        ON CONFLICT (tenant_id, day, endpoint) DO UPDATE SET images = kept.images + excluded.images,
            gpu_seconds = kept.gpu_seconds + excluded.gpu_seconds
    """),
    Statement("DELETE FROM tenants WHERE id = :tenant_id"),
)
_LOAD_GRAPH = Statement("""
SELECT g.graph, g.extra_data FROM graphs g JOIN jobs j ON j.id = g.job_id
WHERE j.id = :job_id AND j.tenant_id = :tenant_id
""")
# The idempotency key of a job stays reserved until it is a day old: a repeated request must not create a second job.
_DELETE_JOBS = Statement("""
WITH deleted AS (
    DELETE FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))
    RETURNING id, tenant_id, idempotency_key, request_hash, created_at, started_at, completed_at, state, images, error,
        created_at + interval '24 hours' AS key_expires_at
), letters AS (
    DELETE FROM dead_letters WHERE job_id = ANY(CAST(:ids AS uuid[]))
), estimates AS (
    DELETE FROM job_estimates WHERE job_id = ANY(CAST(:ids AS uuid[]))
), examples AS (
    UPDATE trend_failures SET job_id = NULL WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM trend_failures WHERE job_id = ANY(CAST(:ids AS uuid[])) FOR UPDATE SKIP LOCKED
    ))
), counted AS (
    INSERT INTO purged_ends (completed_at, images, waited_s, failure)
    SELECT completed_at, images, extract(epoch FROM started_at - created_at),
        CASE WHEN state IN ('failed', 'expired') THEN coalesce(error->>'code', 'unknown') END
    FROM deleted WHERE completed_at > now() - interval '24 hours'
), spent AS (
    INSERT INTO spent_keys (tenant_id, idempotency_key, request_hash, job_id, expires_at)
    SELECT tenant_id, idempotency_key, request_hash, id, key_expires_at FROM deleted
    WHERE idempotency_key IS NOT NULL AND key_expires_at > now()
    ON CONFLICT (tenant_id, idempotency_key) DO UPDATE SET
        request_hash = excluded.request_hash, job_id = excluded.job_id, expires_at = excluded.expires_at
)
INSERT INTO outbox (message_id, subject, body)
SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:bodies AS bytea[]))
""")
_EXPIRED_RECORDS = (
    ExpiredRows("spent_keys", "expires_at < now()"),
    ExpiredRows("purged_ends", "completed_at < now() - interval '24 hours'"),
)
_FIND_STATES = Statement("SELECT id, state FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True)
class EndedJob:
    """An ended job whose lock is held. ``now``: the time of the transaction."""

    id: UUID
    tenant_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True)
class PurgeCandidate(EndedJob):
    """A job whose lock is held. ``is_stopping``: it has a live attempt, whose end must still be settled."""

    state: JobState
    is_stopping: bool


async def lock_job_to_purge(connection: Connection, tenant_id: UUID, job_id: UUID) -> PurgeCandidate | None:
    """Lock the job. The tenant's lock is not needed: a purge changes no counter."""
    row = await _LOCK_JOB.fetch_first(connection, id=job_id, tenant_id=tenant_id)
    return PurgeCandidate(**{**row, "state": JobState(row["state"])}) if row else None


async def list_tenants_to_purge(connection: Connection, after: UUID, *, page: int) -> list[tuple[UUID, bool]]:
    """List the next ``page`` tenants by id, and whether they have jobs that ended over ``result_days`` days ago."""
    rows = await _LIST_TENANTS_TO_PURGE.fetch_all(connection, after=after, page=page)
    return [(row["id"], row["has_expired_jobs"]) for row in rows]


async def lock_expired_jobs(connection: Connection, tenant_ids: Sequence[UUID], *, batch: int) -> list[EndedJob]:
    """Lock up to ``batch`` jobs of these tenants past their ``result_days``. Skips locked jobs."""
    return [
        _build_ended_job(row) for row in await _LOCK_EXPIRED.fetch_all(connection, tenant_ids=tenant_ids, batch=batch)
    ]


async def lock_ended_jobs(connection: Connection, tenant_id: UUID, *, batch: int) -> list[EndedJob]:
    """Lock up to ``batch`` ended jobs of a tenant. Skips locked jobs and jobs with a live attempt."""
    return [_build_ended_job(row) for row in await _LOCK_ENDED.fetch_all(connection, tenant_id=tenant_id, batch=batch)]


async def list_live_jobs(connection: Connection, tenant_id: UUID) -> list[UUID]:
    """List the ids of a tenant's jobs that have not ended."""
    return [row["id"] for row in await _LIST_LIVE.fetch_all(connection, tenant_id=tenant_id)]


async def delete_tenant(connection: Connection, tenant_id: UUID) -> bool:
    """Delete a tenant that has no jobs. Its usage is kept as anonymous totals.

    Returns:
        Whether the tenant is gone; False if it still has jobs.
    """
    await _LOCK_TENANT.execute(connection, tenant_id=tenant_id)
    if await _HAS_JOBS.fetch_value(connection, tenant_id=tenant_id):
        return False
    for statement in _DELETE_TENANT:
        await statement.execute(connection, tenant_id=tenant_id)
    return True


async def load_graph(connection: Connection, tenant_id: UUID, job_id: UUID) -> Row | None:
    """Load the workflow of a tenant's job: the fields of ``JobGraph``."""
    return await _LOAD_GRAPH.fetch_first(connection, tenant_id=tenant_id, job_id=job_id)


async def delete_jobs(connection: Connection, jobs: Sequence[EndedJob], *, with_inputs: bool) -> None:
    """Delete jobs with their graphs, attempts, events and outputs. Their locks must be held; usage stays counted."""
    messages = [JobPurged(job_id=job.id, tenant_id=job.tenant_id, with_inputs=with_inputs, at=job.now) for job in jobs]
    await _DELETE_JOBS.execute(
        connection,
        ids=[job.id for job in jobs],
        message_ids=[new_id() for _ in jobs],
        subjects=[JOB_PURGED.subject(str(job.tenant_id), str(job.id)) for job in jobs],
        bodies=[message.model_dump_json().encode() for message in messages],
    )


async def delete_expired_records(database: Database) -> None:
    """Delete the expired idempotency keys and statistics of purged jobs."""
    for expired in _EXPIRED_RECORDS:
        await expired.delete(database)


async def find_job_states(connection: Connection, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
    """Find the states of jobs by id. Missing jobs are left out."""
    return {row["id"]: JobState(row["state"]) for row in await _FIND_STATES.fetch_all(connection, ids=[*job_ids])}


def _build_ended_job(row: Row) -> EndedJob:
    return EndedJob(id=row["id"], tenant_id=row["tenant_id"], now=row["now"])
