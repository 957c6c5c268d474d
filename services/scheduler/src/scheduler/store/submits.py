"""Reads the facts that decide a group of submits, and writes the accepted jobs: one statement each per group."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from chassis.database.statement import Connection, Statement
from chassis.ids import new_id
from contracts.scheduler.jobs import JOB_CHANGED, JobEvent, JobState
from scheduler.domain.admission import Accepted, Account, Candidate, Earlier
from scheduler.domain.states import Cause
from scheduler.store.tenants import GROUP_IMAGES, VTIME_WITH_QUEUED

INVALID_VALUES = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""Errors that the values of one submit can cause for its whole group."""

_FIND_EARLIER = """
    SELECT j.id, j.request_hash FROM jobs j WHERE j.id = a.id AND j.tenant_id = a.tenant_id
    UNION ALL
    SELECT j.id, j.request_hash FROM jobs j WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.key
    UNION ALL
    SELECT s.job_id, s.request_hash FROM spent_keys s WHERE s.tenant_id = a.tenant_id AND s.idempotency_key = a.key
    LIMIT 1
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_WAITING = "FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold"
# Overtaken jobs are counted only if there are any: without statistics, PostgreSQL may plan the count as a read of every
# job of the tenant. The lowest priority is always read from an index.
_LOAD_FACTS = Statement(f"""
SELECT t.id, t.is_active, t.images_per_day, t.queue_cap, t.queued,
    CASE WHEN t.quota_group IS NULL THEN coalesce(u.images, 0) ELSE ({GROUP_IMAGES.format(day=_TODAY)}) END
        AS images_today,
    t.gpu_seconds_per_day, coalesce(u.gpu_seconds, 0) AS gpu_seconds_today, t.quota_group, now() AS now,
    earlier.id AS earlier_id, earlier.request_hash AS earlier_hash,
    CASE WHEN a.priority > (SELECT j.priority {_WAITING} ORDER BY j.priority, j.id DESC LIMIT 1)
        THEN (SELECT count(*) {_WAITING} AND j.priority < a.priority) ELSE 0 END AS overtaken
FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:priorities AS integer[]))
    WITH ORDINALITY AS a (tenant_id, id, key, priority, number)
JOIN tenants t ON t.id = a.tenant_id
LEFT JOIN usage_days u ON u.tenant_id = t.id AND u.day = {_TODAY}
LEFT JOIN LATERAL ({_FIND_EARLIER}) earlier ON true
ORDER BY a.number
""")  # noqa: S608 - constants only
_INSERT_JOBS = Statement(f"""
WITH accepted AS (
    SELECT * FROM json_to_recordset(CAST(:jobs AS json)) AS (
        id uuid, tenant_id uuid, priority integer, workflow text, labels jsonb, requirement_id bigint, images integer,
        key text, request_hash text, start_within float, run_within float, model text, seed numeric, seeds jsonb,
        graph json, inputs uuid[], event jsonb, message_id uuid, subject text, retry_of uuid, endpoint text,
        fail_without_outputs boolean, extra_data json
    )
), made AS (
    INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
                      idempotency_key, request_hash, start_by, run_within_s, model, seed, seeds, retry_of, endpoint,
                      fail_without_outputs)
    SELECT id, tenant_id, 'queued', priority, workflow, labels, requirement_id, images, {_TODAY}, 1,
           key, request_hash, now() + make_interval(secs => start_within), run_within, model, seed, seeds, retry_of,
           endpoint, fail_without_outputs
    FROM accepted
), drawn AS (
    INSERT INTO graphs (job_id, graph, inputs, extra_data) SELECT id, graph, inputs, extra_data FROM accepted
), logged AS (
    INSERT INTO job_events (job_id, seq, event) SELECT id, 1, event FROM accepted
), charged AS (
    INSERT INTO usage_days (tenant_id, day, images, jobs)
    SELECT tenant_id, {_TODAY}, sum(images), count(*) FROM accepted GROUP BY tenant_id
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images,
        jobs = usage_days.jobs + excluded.jobs
), counted AS (
    UPDATE tenants SET queued = queued + added.jobs, vtime = ({VTIME_WITH_QUEUED.format(added="added.jobs")})
    FROM (SELECT tenant_id, count(*) AS jobs FROM accepted GROUP BY tenant_id) added
    WHERE tenants.id = added.tenant_id
)
INSERT INTO outbox (message_id, subject, body) SELECT message_id, subject, convert_to(CAST(event AS text), 'UTF8')
FROM accepted
""")  # noqa: S608 - constants only


class Facts(NamedTuple):
    """The facts that decide one submit.

    Attributes:
        earlier: the job that already has its id or its idempotency key.
        overtaken: waiting jobs of its tenant with a lower priority.
    """

    account: Account
    earlier: Earlier | None
    overtaken: int


async def load_admission_facts(connection: Connection, candidates: Sequence[Candidate]) -> list[Facts]:
    """Load the facts that decide each submit, in order. They are final only while the tenants' locks are held."""
    rows = await _LOAD_FACTS.all(
        connection,
        tenants=[candidate.tenant_id for candidate in candidates],
        ids=[candidate.command.job_id for candidate in candidates],
        keys=[candidate.command.idempotency_key for candidate in candidates],
        priorities=[candidate.command.priority for candidate in candidates],
    )
    return [
        Facts(
            Account(**{name: row[name] for name in Account.__slots__}),
            (row["earlier_id"], row["earlier_hash"]) if row["earlier_id"] else None,
            row["overtaken"],
        )
        for row in rows
    ]


async def insert_jobs(connection: Connection, accepted: Sequence[Accepted]) -> None:
    """Insert new jobs with graph, first event, outbox row and their tenants' counters. The tenants must be locked."""
    rows = [_build_row(one) for one in accepted]
    await _INSERT_JOBS.run(connection, jobs=orjson.dumps(rows, default=_encode_uuid).decode())


def _build_row(accepted: Accepted) -> dict[str, Any]:
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
        "event": orjson.Fragment(_build_first_event(command.job_id, tenant_id, accepted.now).model_dump_json()),
        "message_id": new_id(),
        "subject": JOB_CHANGED.subject(str(tenant_id), str(command.job_id)),
        "retry_of": command.retry_of,
        "endpoint": command.endpoint,
        "fail_without_outputs": command.fail_without_outputs,
    }


def _encode_uuid(value: object) -> str:
    """Encode asyncpg's own UUID class, which orjson does not support."""
    if not isinstance(value, UUID):
        raise TypeError
    return str(value)


def _build_first_event(job_id: UUID, tenant_id: UUID, at: datetime) -> JobEvent:
    return JobEvent(
        job_id=job_id,
        tenant_id=tenant_id,
        seq=1,
        state=JobState.QUEUED,
        cause=Cause.SUBMITTED,
        attempt=0,
        at=at,
    )
