"""The one way in which a job changes its state: row, log and outbox in one statement."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from chassis.ids import new_id
from chassis.postgres import Connection
from contracts.scheduler import JOB_CHANGED, JobError, JobEvent, JobState, Output
from scheduler.domain.job import Held
from scheduler.domain.states import Cause, after, is_final

_HOLD = text("""
SELECT id, tenant_id, state, attempt, seq, images, usage_day FROM jobs
WHERE id = :id AND tenant_id = :tenant_id FOR UPDATE
""")
_MOVE = text("""
WITH moved AS (
    UPDATE jobs SET
        state = :state, seq = :seq, attempt = :attempt,
        started_at = CASE WHEN :state = 'leased' THEN now() WHEN :state = 'queued' THEN NULL ELSE started_at END,
        completed_at = CASE WHEN :final THEN now() END,
        progress = CASE WHEN :state = 'queued' THEN 0 ELSE progress END,
        outputs = CAST(:outputs AS jsonb), error = CAST(:error AS jsonb)
    WHERE id = :id
), logged AS (
    INSERT INTO job_events (job_id, seq, event) VALUES (:id, :seq, CAST(:event AS jsonb))
)
INSERT INTO outbox (message_id, subject, body) VALUES (:message_id, :subject, :body)
""")


_SETTLE = text("UPDATE jobs SET images = :images WHERE id = :id")


async def hold(connection: Connection, tenant_id: UUID, job_id: UUID) -> Held | None:
    """Take the job's lock; the tenant's must be held already."""
    row = (await connection.execute(_HOLD, {"id": job_id, "tenant_id": tenant_id})).one_or_none()
    return Held(**{**row._mapping, "state": JobState(row.state)}) if row else None  # noqa: SLF001


async def move(
    connection: Connection,
    job: Held,
    cause: Cause,
    *,
    now: datetime,
    attempt: int | None = None,
    outputs: tuple[Output, ...] = (),
    error: JobError | None = None,
) -> JobState | None:
    """Make the transition that the cause asks for, with its event.

    Args:
        job: under its lock.
        now: the transaction's time.
        attempt: number of the attempt that begins, where one does.

    Returns:
        The new state, or None where the cause changes nothing in this state: then nothing was written.
    """
    state = after(job.state, cause)
    if state is None:
        return None
    event = JobEvent(
        job_id=job.id,
        tenant_id=job.tenant_id,
        seq=job.seq + 1,
        state=state,
        cause=cause,
        attempt=job.attempt if attempt is None else attempt,
        at=now,
        outputs=outputs,
        error=error,
    )
    body = event.model_dump_json()
    await connection.execute(
        _MOVE,
        {
            "id": job.id,
            "state": state,
            "seq": event.seq,
            "attempt": event.attempt,
            "final": is_final(state),
            "outputs": _json([output.model_dump(mode="json") for output in outputs]) if outputs else None,
            "error": error.model_dump_json() if error else None,
            "event": body,
            "message_id": new_id(),
            "subject": JOB_CHANGED.subject(str(job.tenant_id), str(job.id)),
            "body": body.encode(),
        },
    )
    return state


async def settle_images(connection: Connection, job_id: UUID, images: int) -> None:
    """Note how many images the job really made; it must have ended."""
    await connection.execute(_SETTLE, {"id": job_id, "images": images})


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
