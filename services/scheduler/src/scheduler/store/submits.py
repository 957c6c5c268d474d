"""Loads what decides submissions, and inserts accepted jobs: one statement each for a whole group."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from chassis.database.statement import Connection, Statement
from chassis.ids import new_id
from contracts.scheduler.jobs import JOB_CHANGED, JobEvent, JobState
from scheduler.domain.admission import AcceptedJob, ExistingJob, InsertedJob, PendingSubmission, TenantAllowance
from scheduler.domain.states import Cause
from scheduler.domain.waiting import TenantFacts
from scheduler.store.tenants import GROUP_IMAGES, TENANT_FACTS, VTIME_WITH_QUEUED

INVALID_VALUE_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""Errors that the values of one submission cause for all that share its transaction."""

_FACTS = TenantFacts.__slots__
_FIND_EXISTING = """
    SELECT j.id, j.request_hash FROM jobs j WHERE j.id = a.id AND j.tenant_id = a.tenant_id
    UNION ALL
    SELECT j.id, j.request_hash FROM jobs j WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.key
    UNION ALL
    SELECT s.job_id, s.request_hash FROM spent_keys s WHERE s.tenant_id = a.tenant_id AND s.idempotency_key = a.key
    LIMIT 1
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_VTIME = VTIME_WITH_QUEUED.format(added="added.jobs", vtime="vtime")
_LOAD_FACTS = Statement(f"""
SELECT t.id, t.xmin AS version, t.is_active, t.images_per_day, t.queue_cap, t.queued,
    CASE WHEN t.quota_group IS NULL THEN coalesce(u.images, 0) ELSE ({GROUP_IMAGES.format(day=_TODAY)}) END
        AS images_today,
    t.gpu_seconds_per_day, coalesce(u.gpu_seconds, 0) AS gpu_seconds_today, t.quota_group, now() AS now,
    existing.id AS existing_id, existing.request_hash AS existing_hash,
    (SELECT j.priority FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold
     ORDER BY j.priority, j.id DESC LIMIT 1) AS lowest_priority
FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:keys AS text[]))
    WITH ORDINALITY AS a (tenant_id, id, key, number)
JOIN tenants t ON t.id = a.tenant_id
LEFT JOIN usage_days u ON u.tenant_id = t.id AND u.day = {_TODAY}
LEFT JOIN LATERAL ({_FIND_EXISTING}) existing ON true
ORDER BY a.number
""")  # noqa: S608 - constants only
# Writes nothing unless every tenant's row is unlocked and still has the version (xmin) that was decided on, the day is
# the same, and no job has the id or idempotency key of one of the submissions.
_INSERT_JOBS = Statement(f"""
WITH given AS (
    SELECT * FROM ROWS FROM (json_to_recordset(CAST(:jobs AS json)) AS (
        id uuid, tenant_id uuid, priority integer, workflow text, labels jsonb, requirement_id bigint, images integer,
        key text, request_hash text, start_within float, run_within float, model text, seed numeric, seeds jsonb,
        graph json, inputs uuid[], event jsonb, message_id uuid, subject text, retry_of uuid, endpoint text,
        request_id text,
        overtakes boolean, fail_without_outputs boolean, extra_data json, fingerprint bigint
    )) WITH ORDINALITY
), unchanged AS (
    SELECT t.id FROM unnest(CAST(:tenants AS uuid[]), CAST(:versions AS xid[])) AS a (id, version)
    JOIN tenants t ON t.id = a.id AND t.xmin = a.version
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED
), valid AS (
    SELECT 1 WHERE (SELECT count(*) FROM unchanged) = cardinality(CAST(:tenants AS uuid[]))
        AND {_TODAY} = CAST(:today AS date)
        AND NOT EXISTS (SELECT 1 FROM given a CROSS JOIN LATERAL ({_FIND_EXISTING}) e)
), accepted AS (
    SELECT a.*,
        event || jsonb_build_object('at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
            AS event_now,
        CASE WHEN a.overtakes THEN
            (SELECT count(*) FROM jobs j
             WHERE j.tenant_id = a.tenant_id AND j.state = 'queued' AND NOT j.on_hold AND j.priority < a.priority)
        ELSE 0 END AS behind
    FROM given a CROSS JOIN valid
), inserted AS (
    INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
                      idempotency_key, request_hash, start_by, run_within_s, model, seed, seeds, retry_of, endpoint,
                      request_id, fail_without_outputs, fingerprint)
    SELECT id, tenant_id, 'queued', priority, workflow, labels, requirement_id, images, :today, 1,
           key, request_hash, now() + make_interval(secs => start_within), run_within, model, seed, seeds, retry_of,
           endpoint, request_id, fail_without_outputs, fingerprint
    FROM accepted
), stored_graphs AS (
    INSERT INTO graphs (job_id, graph, inputs, extra_data) SELECT id, graph, inputs, extra_data FROM accepted
), logged AS (
    INSERT INTO job_events (job_id, seq, event) SELECT id, 1, event_now FROM accepted
), charged AS (
    INSERT INTO usage_days (tenant_id, day, images, jobs)
    SELECT tenant_id, :today, sum(images), count(*) FROM accepted GROUP BY tenant_id
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images,
        jobs = usage_days.jobs + excluded.jobs
), counted AS (
    UPDATE tenants SET queued = queued + added.jobs, vtime = {_VTIME}
    FROM (SELECT tenant_id, count(*) AS jobs FROM accepted GROUP BY tenant_id) added
    WHERE tenants.id = added.tenant_id AND tenants.id = ANY(CAST(:tenants AS uuid[]))
    RETURNING tenants.*
), announced AS (
    INSERT INTO outbox (message_id, subject, body)
    SELECT message_id, subject, convert_to(CAST(event_now AS text), 'UTF8') FROM accepted
)
SELECT a.behind, now() AS now, {TENANT_FACTS}
FROM accepted a JOIN counted t ON t.id = a.tenant_id ORDER BY a.ordinality
""")  # noqa: S608 - constants only


async def load_admission_facts(
    connection: Connection, submissions: Sequence[PendingSubmission]
) -> list[tuple[TenantAllowance, ExistingJob | None]]:
    """Load, for each submission in order, its tenant's allowance and the job that was accepted for it before.

    Without the locks of the tenants, the facts may change at any time; ``insert_jobs`` notices that. Submissions of
    unknown tenants are left out.
    """
    rows = await _LOAD_FACTS.fetch_all(
        connection,
        tenants=[submission.tenant_id for submission in submissions],
        ids=[submission.command.job_id for submission in submissions],
        keys=[submission.command.idempotency_key for submission in submissions],
    )
    return [
        (
            TenantAllowance(**{name: row[name] for name in TenantAllowance.__slots__}),
            ExistingJob(row["existing_id"], row["existing_hash"]) if row["existing_id"] else None,
        )
        for row in rows
    ]


async def insert_jobs(
    connection: Connection, accepted: Sequence[AcceptedJob], allowances: Mapping[UUID, TenantAllowance]
) -> list[InsertedJob]:
    """Insert new jobs with graph, first event and outbox row, and update their tenants' counters.

    Needs no lock: nothing is inserted if a tenant's row has changed, a submission was accepted before, or another
    transaction holds a tenant's lock.

    Args:
        connection: in a transaction or not.
        accepted: the jobs; at least one.
        allowances: the allowance of each of their tenants and of no others, all read on the same day.

    Returns:
        What was inserted for each job, in order; empty if nothing was inserted.
    """
    rows = [_build_row(job, allowances[job.submission.tenant_id].now) for job in accepted]
    inserted = await _INSERT_JOBS.fetch_all(
        connection,
        tenants=[*allowances],
        versions=[allowance.version for allowance in allowances.values()],
        today=next(iter(allowances.values())).today,
        jobs=orjson.dumps(rows, default=_encode_uuid).decode(),
    )
    return [
        InsertedJob(row["behind"], row["now"], TenantFacts(**{name: row[name] for name in _FACTS})) for row in inserted
    ]


def _build_row(accepted: AcceptedJob, at: datetime) -> dict[str, Any]:
    """Build the values of a job for JSON. An array for each column would take asyncpg twice the time."""
    submission = accepted.submission
    command, tenant_id = submission.command, submission.tenant_id
    return {
        "id": command.job_id,
        "tenant_id": tenant_id,
        "priority": command.priority,
        "workflow": command.workflow,
        "labels": command.labels,
        "requirement_id": submission.requirement_id,
        "images": submission.images,
        "key": command.idempotency_key,
        "request_hash": command.request_hash,
        "start_within": command.start_within_seconds,
        "run_within": command.run_within_seconds,
        "model": command.model,
        "seed": command.seed,
        "seeds": [seed.model_dump() for seed in command.seeds] or None,
        "graph": orjson.Fragment(submission.graph),
        "inputs": command.inputs,
        "extra_data": command.extra_data,
        "event": orjson.Fragment(_build_first_event(submission, at).model_dump_json()),
        "message_id": new_id(),
        "subject": JOB_CHANGED.subject(str(tenant_id), str(command.job_id)),
        "retry_of": command.retry_of,
        "endpoint": command.endpoint,
        "request_id": submission.request_id or None,
        "overtakes": accepted.overtakes_jobs,
        "fail_without_outputs": command.fail_without_outputs,
        "fingerprint": submission.fingerprint,
    }


def _encode_uuid(value: object) -> str:
    """Encode a UUID of asyncpg's class, which orjson does not know."""
    if not isinstance(value, UUID):
        raise TypeError
    return str(value)


def _build_first_event(submission: PendingSubmission, at: datetime) -> JobEvent:
    """Return the first event of a job. Its time is when the allowance was read; the statement replaces it."""
    return JobEvent(
        job_id=submission.command.job_id,
        tenant_id=submission.tenant_id,
        seq=1,
        state=JobState.QUEUED,
        cause=Cause.SUBMITTED,
        attempt=0,
        at=at,
        request_id=submission.request_id or None,
    )
