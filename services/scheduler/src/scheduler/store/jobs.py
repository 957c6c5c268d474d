"""Jobs: made, found, listed, and their log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import orjson

from chassis.ids import new_id
from chassis.statement import Connection, Row, Statement
from contracts.scheduler import JOB_CHANGED, JobError, JobEvent, JobState, ListJobs, Output, SubmitJob
from scheduler.domain.job import Standing
from scheduler.domain.states import Cause

_INSERT = Statement("""
WITH made AS (
    INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
                      idempotency_key, request_hash, start_by, run_within_s)
    VALUES (:id, :tenant_id, 'queued', :priority, :workflow, CAST(:labels AS jsonb), :requirement_id, :images,
            :usage_day, 1, :idempotency_key, :request_hash,
            now() + make_interval(secs => CAST(:start_within AS float)), :run_within)
), drawn AS (
    INSERT INTO graphs (job_id, graph) VALUES (:id, CAST(:graph AS json))
), logged AS (
    INSERT INTO job_events (job_id, seq, event) VALUES (:id, 1, CAST(:event AS jsonb))
), charged AS (
    INSERT INTO usage_days (tenant_id, day, images) VALUES (:tenant_id, :usage_day, :images)
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images
), counted AS (
    UPDATE tenants SET queued = queued + 1, vtime = CASE WHEN queued > 0 THEN vtime ELSE
        greatest(vtime, coalesce((SELECT min(t.vtime) FROM tenants t WHERE t.ready), vtime)) END
    WHERE id = :tenant_id
)
INSERT INTO outbox (message_id, subject, body) VALUES (:message_id, :subject, :body)
""")
_FACTS = Statement("""
SELECT coalesce((SELECT images FROM usage_days WHERE tenant_id = :tenant_id AND day = :day), 0) AS images_today,
    (SELECT count(*) FROM jobs WHERE tenant_id = :tenant_id AND state = 'queued' AND priority >= :priority) AS ahead,
    earlier.id AS earlier_id, earlier.request_hash AS earlier_hash
FROM (SELECT 1) once LEFT JOIN LATERAL (
    SELECT id, request_hash FROM jobs
    WHERE tenant_id = :tenant_id AND (id = :id OR idempotency_key = :key) LIMIT 1
) earlier ON true
""")
_COLUMNS = """
SELECT j.id, j.tenant_id, j.state, j.workflow, j.priority, j.labels, j.attempt, j.progress, j.images, j.seq,
    j.created_at, j.started_at, j.completed_at, j.outputs, j.error, now() AS now,
    CASE WHEN j.state = 'queued' THEN (
        SELECT count(*) FROM jobs a WHERE a.tenant_id = j.tenant_id AND a.state = 'queued'
            AND (a.priority > j.priority OR (a.priority = j.priority AND a.id <= j.id))
    ) END AS queue_position
FROM jobs j
"""
_FIND = Statement(_COLUMNS + "WHERE j.tenant_id = :tenant_id AND j.id = :id")
_LIST = Statement(
    _COLUMNS
    + """
WHERE j.tenant_id = :tenant_id
    AND (CAST(:before AS uuid) IS NULL OR j.id < CAST(:before AS uuid))
    AND (CAST(:states AS text[]) IS NULL OR j.state = ANY(CAST(:states AS text[])))
    AND (CAST(:workflow AS text) IS NULL OR j.workflow = :workflow)
    AND (CAST(:label AS jsonb) IS NULL OR j.labels @> CAST(:label AS jsonb))
ORDER BY j.id DESC LIMIT :limit
"""
)
_EVENTS = Statement("SELECT event FROM job_events WHERE job_id = :id AND seq > :after ORDER BY seq")
_OVERDUE = Statement("""
SELECT id, tenant_id FROM jobs
WHERE state = 'queued' AND attempt = 0 AND start_by < now() ORDER BY start_by LIMIT 100
""")


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides an admission, read under the tenant's lock.

    Attributes:
        images_today: reserved or made today.
        ahead: queued jobs of the tenant that would run before this one.
        earlier: id and request hash of the job that has this id or this idempotency key already.
    """

    images_today: int
    ahead: int
    earlier: tuple[UUID, str] | None


async def facts(connection: Connection, command: SubmitJob, *, tenant_id: UUID, day: date) -> Facts:
    """What decides whether the job is admitted."""
    parameters = {
        "tenant_id": tenant_id,
        "day": day,
        "priority": command.priority,
        "id": command.job_id,
        "key": command.idempotency_key,
    }
    (row,) = await _FACTS.all(connection, **parameters)
    earlier = (row["earlier_id"], row["earlier_hash"]) if row["earlier_id"] else None
    return Facts(images_today=row["images_today"], ahead=row["ahead"], earlier=earlier)


async def insert(
    connection: Connection, command: SubmitJob, *, tenant_id: UUID, requirement_id: int, images: int, now: datetime
) -> JobEvent:
    """Write a new job with graph, first event, outbox row and the tenant's counters; its lock must be held."""
    event = JobEvent(
        job_id=command.job_id,
        tenant_id=tenant_id,
        seq=1,
        state=JobState.QUEUED,
        cause=Cause.SUBMITTED,
        attempt=0,
        at=now,
    )
    body = event.model_dump_json()
    await _INSERT.run(
        connection,
        id=command.job_id,
        tenant_id=tenant_id,
        priority=command.priority,
        workflow=command.workflow,
        labels=orjson.dumps(command.labels).decode(),
        requirement_id=requirement_id,
        images=images,
        usage_day=now.date(),
        idempotency_key=command.idempotency_key,
        request_hash=command.request_hash,
        start_within=command.start_within_seconds,
        run_within=command.run_within_seconds,
        graph=orjson.dumps(command.graph).decode(),
        event=body,
        message_id=new_id(),
        subject=JOB_CHANGED.subject(str(tenant_id), str(command.job_id)),
        body=body.encode(),
    )
    return event


async def find(connection: Connection, tenant_id: UUID, job_id: UUID) -> Standing | None:
    """One job of the tenant as it stands."""
    row = await _FIND.first(connection, tenant_id=tenant_id, id=job_id)
    return _standing(row) if row else None


async def page(connection: Connection, tenant_id: UUID, query: ListJobs) -> list[Standing]:
    """Up to ``limit + 1`` jobs of the tenant, newest first: the last one only says that there are more."""
    parameters = {
        "tenant_id": tenant_id,
        "before": query.before,
        "states": [*query.states] or None,
        "workflow": query.workflow,
        "label": orjson.dumps(dict([query.label])).decode() if query.label else None,
        "limit": query.limit + 1,
    }
    return [_standing(row) for row in await _LIST.all(connection, **parameters)]


async def events(connection: Connection, job_id: UUID, after: int) -> tuple[JobEvent, ...]:
    """The job's log from behind ``after``, in order."""
    rows = await _EVENTS.all(connection, id=job_id, after=after)
    return tuple(JobEvent.model_validate(row["event"]) for row in rows)


async def overdue(connection: Connection) -> Sequence[Row]:
    """Jobs (id, tenant_id) that should have started by now, unlocked."""
    return await _OVERDUE.all(connection)


def _standing(row: Row) -> Standing:
    return Standing(
        **{
            **row,
            "state": JobState(row["state"]),
            "outputs": tuple(Output.model_validate(output) for output in row["outputs"] or ()),
            "error": JobError.model_validate(row["error"]) if row["error"] else None,
        }
    )
