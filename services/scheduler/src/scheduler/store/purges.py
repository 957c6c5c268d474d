"""Ended jobs that go: found, deleted with all that hangs on them, and said in the same transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement
from chassis.ids import new_id
from contracts.scheduler.jobs import JobState
from contracts.scheduler.purges import JOB_PURGED, JobPurged

_STOPPING = "EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.ended_at IS NULL)"
_HOLD = Statement(f"""
SELECT j.id, j.tenant_id, j.state, {_STOPPING} AS stopping, now() AS now
FROM jobs j WHERE j.id = :id AND j.tenant_id = :tenant_id FOR UPDATE
""")  # noqa: S608 - constants only
_DUE = Statement(f"""
SELECT j.id, j.tenant_id, now() AS now FROM tenants t JOIN jobs j ON j.tenant_id = t.id
WHERE j.completed_at < now() - make_interval(days => t.result_days) AND NOT {_STOPPING}
LIMIT :batch FOR UPDATE OF j SKIP LOCKED
""")  # noqa: S608 - constants only
_ENDED = Statement(f"""
SELECT j.id, j.tenant_id, now() AS now FROM jobs j
WHERE j.tenant_id = :tenant_id AND j.completed_at IS NOT NULL AND NOT {_STOPPING}
LIMIT :batch FOR UPDATE OF j SKIP LOCKED
""")  # noqa: S608 - constants only
_LIVE = Statement("SELECT id FROM jobs WHERE tenant_id = :tenant_id AND completed_at IS NULL")
_LOCK_TENANT = Statement("SELECT 1 FROM tenants WHERE id = :tenant_id FOR UPDATE")
_HAS_JOBS = Statement("SELECT EXISTS (SELECT 1 FROM jobs WHERE tenant_id = :tenant_id)")
_DROP_TENANT = (
    Statement("DELETE FROM spent_keys WHERE tenant_id = :tenant_id"),
    Statement("DELETE FROM dead_letters WHERE tenant_id = :tenant_id"),
    Statement("""
        WITH gone AS (DELETE FROM usage_days WHERE tenant_id = :tenant_id RETURNING day, jobs, images, gpu_seconds)
        INSERT INTO erased_usage AS kept (day, jobs, images, gpu_seconds) SELECT * FROM gone ORDER BY day
        ON CONFLICT (day) DO UPDATE SET jobs = kept.jobs + excluded.jobs, images = kept.images + excluded.images,
            gpu_seconds = kept.gpu_seconds + excluded.gpu_seconds
    """),
    Statement("""
        WITH gone AS (
            DELETE FROM usage_endpoints WHERE tenant_id = :tenant_id RETURNING day, endpoint, images, gpu_seconds
        )
        INSERT INTO usage_endpoints AS kept (tenant_id, day, endpoint, images, gpu_seconds)
        SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid), gone.* FROM gone ORDER BY day, endpoint
        ON CONFLICT (tenant_id, day, endpoint) DO UPDATE SET images = kept.images + excluded.images,
            gpu_seconds = kept.gpu_seconds + excluded.gpu_seconds
    """),
    Statement("DELETE FROM tenants WHERE id = :tenant_id"),
)
_GRAPH = Statement("""
SELECT g.graph, g.extra_data FROM graphs g JOIN jobs j ON j.id = g.job_id
WHERE j.id = :job_id AND j.tenant_id = :tenant_id
""")
# The key of a job that was made less than a day ago stays spent: whoever sends it again must not get a second job.
_PURGE = Statement("""
WITH gone AS (
    DELETE FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))
    RETURNING id, tenant_id, idempotency_key, request_hash, created_at, started_at, completed_at, state, images, error,
        created_at + interval '24 hours' AS key_expires_at
), letters AS (
    DELETE FROM dead_letters WHERE job_id = ANY(CAST(:ids AS uuid[]))
), counted AS (
    INSERT INTO purged_ends (completed_at, images, waited_s, failure)
    SELECT completed_at, images, extract(epoch FROM started_at - created_at),
        CASE WHEN state IN ('failed', 'expired') THEN coalesce(error->>'code', 'unknown') END
    FROM gone WHERE completed_at > now() - interval '24 hours'
), spent AS (
    INSERT INTO spent_keys (tenant_id, idempotency_key, request_hash, job_id, expires_at)
    SELECT tenant_id, idempotency_key, request_hash, id, key_expires_at FROM gone
    WHERE idempotency_key IS NOT NULL AND key_expires_at > now()
    ON CONFLICT (tenant_id, idempotency_key) DO UPDATE SET
        request_hash = excluded.request_hash, job_id = excluded.job_id, expires_at = excluded.expires_at
)
INSERT INTO outbox (message_id, subject, body)
SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:bodies AS bytea[]))
""")
_FORGET_KEYS = Statement("DELETE FROM spent_keys WHERE expires_at < now()")
_FORGET_ENDS = Statement("DELETE FROM purged_ends WHERE completed_at < now() - interval '24 hours'")
_FIND = Statement("SELECT id, state FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that may go, under its lock.

    Attributes:
        now: the transaction's time.
    """

    id: UUID
    tenant_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True)
class Candidate(Ended):
    """A job under its lock. ``stopping``: a node still holds an attempt of it, whose end must be counted."""

    state: JobState
    stopping: bool


async def hold(connection: Connection, tenant_id: UUID, job_id: UUID) -> Candidate | None:
    """Take the job's lock. No counter changes with a purge, so the tenant's is not needed."""
    row = await _HOLD.first(connection, id=job_id, tenant_id=tenant_id)
    return Candidate(**{**row, "state": JobState(row["state"])}) if row else None


async def hold_due(connection: Connection, *, batch: int) -> list[Ended]:
    """Take the locks of jobs that ended longer ago than their tenant's ``result_days``, those of nobody else."""
    return [_ended(row) for row in await _DUE.all(connection, batch=batch)]


async def hold_ended(connection: Connection, tenant_id: UUID, *, batch: int) -> list[Ended]:
    """Take the locks of a tenant's jobs that may go."""
    return [_ended(row) for row in await _ENDED.all(connection, tenant_id=tenant_id, batch=batch)]


async def live(connection: Connection, tenant_id: UUID) -> list[UUID]:
    """A tenant's jobs that wait or run."""
    return [row["id"] for row in await _LIVE.all(connection, tenant_id=tenant_id)]


async def drop_tenant(connection: Connection, tenant_id: UUID) -> bool:
    """Forget a tenant without jobs; whether nothing is left of it. What it used is nobody's then."""
    await _LOCK_TENANT.run(connection, tenant_id=tenant_id)
    if await _HAS_JOBS.value(connection, tenant_id=tenant_id):
        return False
    for drop in _DROP_TENANT:
        await drop.run(connection, tenant_id=tenant_id)
    return True


async def graph(connection: Connection, tenant_id: UUID, job_id: UUID) -> Row | None:
    """The workflow of a tenant's job: the fields of a ``JobGraph``."""
    return await _GRAPH.first(connection, tenant_id=tenant_id, job_id=job_id)


async def purge(connection: Connection, jobs: Sequence[Ended], *, with_inputs: bool) -> None:
    """Delete jobs under their locks: graph, attempts, events, outputs' records; what is counted of them stays."""
    said = [JobPurged(job_id=job.id, tenant_id=job.tenant_id, with_inputs=with_inputs, at=job.now) for job in jobs]
    await _PURGE.run(
        connection,
        ids=[job.id for job in jobs],
        message_ids=[new_id() for _ in jobs],
        subjects=[JOB_PURGED.subject(str(job.tenant_id), str(job.id)) for job in jobs],
        bodies=[one.model_dump_json().encode() for one in said],
    )


async def forget(connection: Connection) -> None:
    """Forget the keys and ends of purged jobs whose day is over."""
    await _FORGET_KEYS.run(connection)
    await _FORGET_ENDS.run(connection)


async def found(connection: Connection, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
    """Those of the jobs that there are, each with its state."""
    return {row["id"]: JobState(row["state"]) for row in await _FIND.all(connection, ids=[*job_ids])}


def _ended(row: Row) -> Ended:
    return Ended(id=row["id"], tenant_id=row["tenant_id"], now=row["now"])
