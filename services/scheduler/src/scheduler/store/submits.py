"""Submits, many at a time: what decides them, and what they write. Each is one statement, however many there are."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from chassis.database.statement import Connection, Statement
from chassis.ids import new_id
from contracts.scheduler.jobs import JOB_CHANGED, JobEvent, JobState
from scheduler.domain.admission import AcceptedJob, Candidate, Earlier, InsertedJob, TenantAllowance
from scheduler.domain.states import Cause
from scheduler.domain.waiting import TenantFacts
from scheduler.store.tenants import GROUP_IMAGES, TENANT_FACTS, VTIME_WITH_QUEUED

INVALID_VALUES = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""What the values of one submit can do to all that share its transaction."""

_FACTS = TenantFacts.__slots__
_FIND_EARLIER = """
    SELECT j.id, j.request_hash FROM jobs j WHERE j.id = a.id AND j.tenant_id = a.tenant_id
    UNION ALL
    SELECT j.id, j.request_hash FROM jobs j WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.key
    UNION ALL
    SELECT s.job_id, s.request_hash FROM spent_keys s WHERE s.tenant_id = a.tenant_id AND s.idempotency_key = a.key
    LIMIT 1
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_LOAD_FACTS = Statement(f"""
SELECT t.id, t.xmin AS version, t.is_active, t.images_per_day, t.queue_cap, t.queued,
    CASE WHEN t.quota_group IS NULL THEN coalesce(u.images, 0) ELSE ({GROUP_IMAGES.format(day=_TODAY)}) END
        AS images_today,
    t.gpu_seconds_per_day, coalesce(u.gpu_seconds, 0) AS gpu_seconds_today, t.quota_group, now() AS now,
    earlier.id AS earlier_id, earlier.request_hash AS earlier_hash,
    (SELECT j.priority FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold
     ORDER BY j.priority, j.id DESC LIMIT 1) AS lowest_priority
FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:keys AS text[]))
    WITH ORDINALITY AS a (tenant_id, id, key, number)
JOIN tenants t ON t.id = a.tenant_id
LEFT JOIN usage_days u ON u.tenant_id = t.id AND u.day = {_TODAY}
LEFT JOIN LATERAL ({_FIND_EARLIER}) earlier ON true
ORDER BY a.number
""")  # noqa: S608 - constants only
# Writes nothing unless every tenant's row is unlocked and still has the version (xmin) that was decided on, the day is
# the same, and no job has the id or idempotency key of one of the submits.
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
    SELECT t.id FROM unnest(CAST(:accounts AS uuid[]), CAST(:versions AS xid[])) AS a (id, version)
    JOIN tenants t ON t.id = a.id AND t.xmin = a.version
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED
), sound AS (
    SELECT 1 WHERE (SELECT count(*) FROM unchanged) = cardinality(CAST(:accounts AS uuid[]))
        AND {_TODAY} = CAST(:today AS date)
        AND NOT EXISTS (SELECT 1 FROM given a CROSS JOIN LATERAL ({_FIND_EARLIER}) e)
), accepted AS (
    SELECT a.*,
        event || jsonb_build_object('at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS said,
        CASE WHEN a.overtakes THEN
            (SELECT count(*) FROM jobs j
             WHERE j.tenant_id = a.tenant_id AND j.state = 'queued' AND NOT j.on_hold AND j.priority < a.priority)
        ELSE 0 END AS behind
    FROM given a CROSS JOIN sound
), made AS (
    INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
                      idempotency_key, request_hash, start_by, run_within_s, model, seed, seeds, retry_of, endpoint,
                      request_id, fail_without_outputs, fingerprint)
    SELECT id, tenant_id, 'queued', priority, workflow, labels, requirement_id, images, :today, 1,
           key, request_hash, now() + make_interval(secs => start_within), run_within, model, seed, seeds, retry_of,
           endpoint, request_id, fail_without_outputs, fingerprint
    FROM accepted
), drawn AS (
    INSERT INTO graphs (job_id, graph, inputs, extra_data) SELECT id, graph, inputs, extra_data FROM accepted
), logged AS (
    INSERT INTO job_events (job_id, seq, event) SELECT id, 1, said FROM accepted
), charged AS (
    INSERT INTO usage_days (tenant_id, day, images, jobs)
    SELECT tenant_id, :today, sum(images), count(*) FROM accepted GROUP BY tenant_id
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images,
        jobs = usage_days.jobs + excluded.jobs
), counted AS (
    UPDATE tenants SET queued = queued + added.jobs, vtime = ({VTIME_WITH_QUEUED.format(added="added.jobs")})
    FROM (SELECT tenant_id, count(*) AS jobs FROM accepted GROUP BY tenant_id) added
    WHERE tenants.id = added.tenant_id AND tenants.id = ANY(CAST(:accounts AS uuid[]))
    RETURNING tenants.*
), announced AS (
    INSERT INTO outbox (message_id, subject, body) SELECT message_id, subject, convert_to(CAST(said AS text), 'UTF8')
    FROM accepted
)
SELECT a.behind, now() AS now, {TENANT_FACTS}
FROM accepted a JOIN counted t ON t.id = a.tenant_id ORDER BY a.ordinality
""")  # noqa: S608 - constants only


async def load_admission_facts(
    connection: Connection, candidates: Sequence[Candidate]
) -> list[tuple[TenantAllowance, Earlier | None]]:
    """What decides each of them, in order; their tenants' locks must be held."""
    rows = await _LOAD_FACTS.fetch_all(
        connection,
        tenants=[candidate.tenant_id for candidate in candidates],
        ids=[candidate.command.job_id for candidate in candidates],
        keys=[candidate.command.idempotency_key for candidate in candidates],
    )
    return [
        (
            TenantAllowance(**{name: row[name] for name in TenantAllowance.__slots__}),
            (row["earlier_id"], row["earlier_hash"]) if row["earlier_id"] else None,
        )
        for row in rows
    ]


async def insert_jobs(
    connection: Connection, accepted: Sequence[AcceptedJob], accounts: Mapping[UUID, TenantAllowance]
) -> list[InsertedJob]:
    """Write new jobs with graph, first event, outbox row and their tenants' counters.

    Needs no lock: nothing is written if an account has changed, a submit was accepted before, or another transaction
    holds a tenant's lock.

    Args:
        connection: within a transaction or none.
        accepted: one at least.
        accounts: of all their tenants and no others, all read on one day.

    Returns:
        One for each, in order; none if nothing was written.
    """
    rows = [_build_row(one, accounts[one.candidate.tenant_id].now) for one in accepted]
    written = await _INSERT_JOBS.fetch_all(
        connection,
        accounts=[*accounts],
        versions=[account.version for account in accounts.values()],
        today=next(iter(accounts.values())).today,
        jobs=orjson.dumps(rows, default=_encode_uuid).decode(),
    )
    return [
        InsertedJob(row["behind"], row["now"], TenantFacts(**{name: row[name] for name in _FACTS})) for row in written
    ]


def _build_row(accepted: AcceptedJob, at: datetime) -> dict[str, Any]:
    """What is written of a job, for JSON: an array for each column would take asyncpg twice the time."""
    candidate = accepted.candidate
    command, tenant_id = candidate.command, candidate.tenant_id
    return {
        "id": command.job_id,
        "tenant_id": tenant_id,
        "priority": command.priority,
        "workflow": command.workflow,
        "labels": command.labels,
        "requirement_id": candidate.requirement_id,
        "images": candidate.images,
        "key": command.idempotency_key,
        "request_hash": command.request_hash,
        "start_within": command.start_within_seconds,
        "run_within": command.run_within_seconds,
        "model": command.model,
        "seed": command.seed,
        "seeds": [seed.model_dump() for seed in command.seeds] or None,
        "graph": orjson.Fragment(candidate.graph),
        "inputs": command.inputs,
        "extra_data": command.extra_data,
        "event": orjson.Fragment(_build_first_event(candidate, at).model_dump_json()),
        "message_id": new_id(),
        "subject": JOB_CHANGED.subject(str(tenant_id), str(command.job_id)),
        "retry_of": command.retry_of,
        "endpoint": command.endpoint,
        "request_id": candidate.request_id or None,
        "overtakes": accepted.overtakes,
        "fail_without_outputs": command.fail_without_outputs,
        "fingerprint": candidate.fingerprint,
    }


def _encode_uuid(value: object) -> str:
    """What orjson does not know: UUIDs that were read are of a class of asyncpg's."""
    if not isinstance(value, UUID):
        raise TypeError
    return str(value)


def _build_first_event(candidate: Candidate, at: datetime) -> JobEvent:
    """Return the first event of a job. Its time is when the account was read, until the statement puts in its own."""
    return JobEvent(
        job_id=candidate.command.job_id,
        tenant_id=candidate.tenant_id,
        seq=1,
        state=JobState.QUEUED,
        cause=Cause.SUBMITTED,
        attempt=0,
        at=at,
        request_id=candidate.request_id or None,
    )
