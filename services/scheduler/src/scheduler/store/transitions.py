"""Changes a job's state, with event, outbox row and the tenant's counters in one statement. No other module does."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from chassis.database.statement import Connection, Statement
from chassis.ids import new_id
from contracts.scheduler.attempts import AttemptRef
from contracts.scheduler.jobs import JOB_CHANGED, JobError, JobEvent, JobState, JobWarning
from contracts.scheduler.outputs import Output
from scheduler.domain.job import LockedJob
from scheduler.domain.settlement import UNCOUNTED_OUTCOMES, TransitionEffects
from scheduler.domain.states import Cause, find_next_state, is_final
from scheduler.store.claims import IS_CLAIMABLE
from scheduler.store.tenants import VTIME_WITH_QUEUED

_JOB_COLUMNS = (
    "j.id, j.tenant_id, j.state, j.attempt, j.seq, j.images, j.usage_day, j.on_hold, j.endpoint,"
    " j.fail_without_outputs, j.request_id, j.created_at,"
    " (SELECT t.tier FROM tenants t WHERE t.id = j.tenant_id) AS tier"
)
_LOCK_JOB = Statement(f"SELECT {_JOB_COLUMNS} FROM jobs j WHERE j.id = :id AND j.tenant_id = :tenant_id FOR UPDATE")  # noqa: S608
_LOCK_ATTEMPT = Statement(f"""
SELECT {_JOB_COLUMNS}, a.node, a.cost, a.prefetched, a.loads_models, j.requirement_id, j.fingerprint,
    a.lease_until < now() AS lapsed, now() AS now, extract(epoch FROM now() - a.leased_at)::float AS age_s,
    a.attempt - (SELECT count(*) FROM attempts w WHERE w.job_id = j.id AND w.outcome IN {UNCOUNTED_OUTCOMES}) AS tries,
    (SELECT count(*) FROM attempts d WHERE d.job_id = j.id AND d.node_died AND NOT EXISTS (
        SELECT 1 FROM nodes n WHERE n.name = d.node AND n.boot_id = d.silent_boot_id AND n.seen_at > d.ended_at
    )) AS node_deaths,
    (SELECT count(DISTINCT f.node) FROM attempts f WHERE f.job_id = j.id AND f.node <> a.node AND f.node_failed
    ) AS other_failed_nodes
FROM jobs j JOIN attempts a ON a.job_id = j.id
WHERE j.id = :job_id AND j.tenant_id = :tenant_id
    AND a.attempt = :attempt AND a.lease_token = :lease_token AND a.ended_at IS NULL
    AND a.node = coalesce(CAST(:node AS text), a.node)
FOR UPDATE
""")  # noqa: S608 - constants only
# Updates the tenant's row even if only its images change: what a submission has read of the tenant is valid for one
# version of that row.
_CHARGED_VTIME = "greatest(0, vtime + CAST(:cost AS float) / weight)"
_UPDATE_COUNTERS = f"""
    UPDATE tenants SET
        queued = queued + :queued,
        running = running + :running,
        vtime = {VTIME_WITH_QUEUED.format(added=":queued", vtime=_CHARGED_VTIME)}
    WHERE id = :tenant_id AND (:queued <> 0 OR :running <> 0 OR :images <> 0)
"""  # noqa: S608 - constants only
_CHARGE_DAY = """
    INSERT INTO usage_days (tenant_id, day, images, gpu_seconds)
    SELECT :tenant_id, CAST(:usage_day AS date), greatest(CAST(:images AS integer), 0), CAST(:gpu_seconds AS float)
    WHERE :images <> 0 OR :gpu_seconds <> 0
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = greatest(usage_days.images + :images, 0),
        gpu_seconds = usage_days.gpu_seconds + excluded.gpu_seconds
"""
_CHARGE_ENDPOINT = """
    INSERT INTO usage_endpoints AS kept (tenant_id, day, endpoint, images, gpu_seconds)
    SELECT :tenant_id, CAST(:usage_day AS date), CAST(:endpoint AS text), coalesce(CAST(:settled AS integer), 0),
        CAST(:gpu_seconds AS float)
    WHERE CAST(:endpoint AS text) IS NOT NULL AND (coalesce(CAST(:settled AS integer), 0) <> 0 OR :gpu_seconds <> 0)
    ON CONFLICT (tenant_id, day, endpoint) DO UPDATE SET images = kept.images + excluded.images,
        gpu_seconds = kept.gpu_seconds + excluded.gpu_seconds
"""
# Removes the requirement of a job that leaves the queue, if no other queued job of its tenant has it.
_LEAVE_QUEUE = f"""
    DELETE FROM waiting_requirements w USING jobs m
    WHERE :queued < 0 AND m.id = :id AND w.tenant_id = m.tenant_id AND w.requirement_id = m.requirement_id AND (
        SELECT j.id FROM jobs j
        WHERE j.tenant_id = m.tenant_id AND j.requirement_id = m.requirement_id AND {IS_CLAIMABLE} AND j.id <> :id
        ORDER BY j.priority DESC, j.id LIMIT 1
    ) IS NULL
"""  # noqa: S608 - constants only
_APPLY_TRANSITION = Statement(f"""
WITH moved AS (
    UPDATE jobs SET
        state = :state, seq = :seq, attempt = :attempt,
        started_at = CASE WHEN :state = 'leased' THEN now() WHEN :state = 'queued' THEN NULL ELSE started_at END,
        completed_at = CASE WHEN :final THEN now() END,
        progress = CASE WHEN :state = 'queued' THEN 0 ELSE progress END, on_hold = :on_hold,
        images = coalesce(CAST(:settled AS integer), images),
        outputs = CAST(:outputs AS jsonb), error = CAST(:error AS jsonb), warnings = CAST(:warnings AS jsonb)
    WHERE id = :id
), logged AS (
    INSERT INTO job_events (job_id, seq, event) VALUES (:id, :seq, CAST(:event AS jsonb))
), counted AS ({_UPDATE_COUNTERS}), charged AS ({_CHARGE_DAY}), charged_endpoint AS ({_CHARGE_ENDPOINT}),
    unlisted AS ({_LEAVE_QUEUE})
INSERT INTO outbox (message_id, subject, body) VALUES (:message_id, :subject, :body)
""")  # noqa: S608 - constants only
_APPLY_EFFECTS = Statement(f"""
WITH settled AS (UPDATE jobs SET images = coalesce(CAST(:settled AS integer), images) WHERE id = :id),
    counted AS ({_UPDATE_COUNTERS}), charged_endpoint AS ({_CHARGE_ENDPOINT})
{_CHARGE_DAY}
""")  # noqa: S608 - constants only


_RESERVE_IMAGES = Statement("""
WITH reserved AS (UPDATE jobs SET images = images + CAST(:images AS integer) WHERE id = :id),
    counted AS (UPDATE tenants SET queued = queued WHERE id = :tenant_id)
INSERT INTO usage_days (tenant_id, day, images)
VALUES (:tenant_id, CAST(:usage_day AS date), CAST(:images AS integer))
ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images
""")


async def lock_job(connection: Connection, tenant_id: UUID, job_id: UUID) -> LockedJob | None:
    """Lock the job. If counters are going to change, the tenant's lock must be held already."""
    row = await _LOCK_JOB.fetch_first(connection, id=job_id, tenant_id=tenant_id)
    return LockedJob(**{**row, "state": JobState(row["state"])}) if row else None


@dataclass(frozen=True, slots=True)
class LockedAttempt:
    """A live attempt and its job. The locks of both are held.

    Attributes:
        charged_s: GPU-seconds charged at the claim.
        tries: number of attempts so far, including this one, without those that were withdrawn or released.
        node_deaths: number of earlier attempts whose node died. A node whose executor was silent and sends heartbeats
            again did not die.
        other_failed_nodes: number of other nodes that failed while they ran the job.
        lapsed: whether the lease has lapsed.
        age_s: seconds since it was leased; if it was prefetched, since the report of its start was recorded.
        prefetched: whether it was claimed while its node had another attempt, and is not known to have started.
        loads_models: whether its node had not loaded all models of the job; None if unknown.
        now: the time of the transaction.
    """

    job: LockedJob
    node: str
    charged_s: float
    tries: int
    node_deaths: int
    other_failed_nodes: int
    lapsed: bool
    age_s: float
    prefetched: bool
    loads_models: bool | None
    requirement_id: int
    fingerprint: int | None
    now: datetime


async def lock_attempt(connection: Connection, ref: AttemptRef, node: str | None) -> LockedAttempt | None:
    """Lock a live attempt and its job; None if ``node`` (None: any node) does not hold this lease."""
    row = await _LOCK_ATTEMPT.fetch_first(connection, **ref.model_dump(), node=node)
    if row is None:
        return None
    fields = {name: row[name] for name in LockedJob.__slots__}
    job = LockedJob(**{**fields, "state": JobState(row["state"])})
    return LockedAttempt(
        job=job,
        node=row["node"],
        charged_s=row["cost"],
        tries=row["tries"],
        node_deaths=row["node_deaths"],
        other_failed_nodes=row["other_failed_nodes"],
        lapsed=row["lapsed"],
        age_s=row["age_s"],
        prefetched=row["prefetched"],
        loads_models=row["loads_models"],
        requirement_id=row["requirement_id"],
        fingerprint=row["fingerprint"],
        now=row["now"],
    )


class Transition(NamedTuple):
    """A transition that was applied. Publish it and count it in metrics only after its transaction has committed.

    Attributes:
        tier: tier of the job's tenant.
        waited_s: time from the acceptance of the job to this transition.
    """

    event: JobEvent
    tier: str
    waited_s: float


async def apply_transition(
    connection: Connection,
    job: LockedJob,
    cause: Cause,
    effects: TransitionEffects,
    *,
    now: datetime,
    attempt: int | None = None,
    outputs: tuple[Output, ...] = (),
    error: JobError | None = None,
    warnings: tuple[JobWarning, ...] = (),
) -> Transition | None:
    """Apply the transition for ``cause``, with its event and its effects.

    Args:
        job: its lock must be held.
        effects: changes of the tenant's counters. The tenant's lock must be held unless they are empty.
        now: the time of the transaction.
        attempt: number of the attempt that begins; None if no attempt begins.

    Returns:
        The transition, to be published after the commit; None if the cause does not apply in this state, and nothing
        was written.
    """
    state = find_next_state(job.state, cause)
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
        request_id=job.request_id,
    )
    body = event.model_dump_json()
    await _APPLY_TRANSITION.execute(
        connection,
        **{
            **_build_effect_parameters(job, effects),
            "state": state,
            "seq": event.seq,
            "attempt": event.attempt,
            "final": is_final(state),
            "on_hold": cause is Cause.HELD,
            "outputs": orjson.dumps([output.model_dump(mode="json") for output in outputs]).decode()
            if outputs
            else None,
            "error": error.model_dump_json() if error else None,
            "warnings": orjson.dumps([warning.model_dump() for warning in warnings]).decode() if warnings else None,
            "event": body,
            "message_id": new_id(),
            "subject": JOB_CHANGED.subject(str(job.tenant_id), str(job.id)),
            "body": body.encode(),
        },
    )
    return Transition(event, job.tier, (now - job.created_at).total_seconds())


async def reserve_images(connection: Connection, job: LockedJob, number: int) -> None:
    """Reserve ``number`` more images for a job. The tenant's lock must be held."""
    await _RESERVE_IMAGES.execute(
        connection, id=job.id, tenant_id=job.tenant_id, usage_day=job.usage_day, images=number
    )


async def apply_effects(connection: Connection, job: LockedJob, effects: TransitionEffects) -> None:
    """Apply effects without a transition, for an attempt that ends after its job."""
    await _APPLY_EFFECTS.execute(connection, **_build_effect_parameters(job, effects))


def _build_effect_parameters(job: LockedJob, effects: TransitionEffects) -> dict[str, object]:
    return {
        "id": job.id,
        "tenant_id": job.tenant_id,
        "usage_day": job.usage_day,
        "endpoint": job.endpoint,
        "queued": effects.queued,
        "running": effects.running,
        "cost": effects.cost,
        "images": effects.images,
        "gpu_seconds": effects.gpu_seconds,
        "settled": effects.settled,
    }
