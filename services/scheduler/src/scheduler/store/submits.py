"""Submits, many at a time: what decides them, and what they write. Each is one statement, however many there are."""

from collections.abc import Sequence
from datetime import date

import asyncpg
import orjson

from chassis.ids import new_id
from chassis.statement import Connection, Statement
from contracts.scheduler import JOB_CHANGED, JobEvent
from scheduler.domain.admission import Accepted, Candidate, Facts
from scheduler.domain.states import Cause

SPOILT = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""What the values of one submit can do to all that share its transaction."""

_FACTS = Statement("""
SELECT
    coalesce((SELECT images FROM usage_days u WHERE u.tenant_id = a.tenant_id AND u.day = :day), 0) AS images_today,
    (SELECT count(*) FROM jobs j
     WHERE j.tenant_id = a.tenant_id AND j.state = 'queued' AND NOT j.on_hold AND j.priority < a.priority) AS behind,
    earlier.id AS earlier_id, earlier.request_hash AS earlier_hash
FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:priorities AS integer[]))
    WITH ORDINALITY AS a (tenant_id, id, key, priority, number)
LEFT JOIN LATERAL (
    SELECT j.id, j.request_hash FROM jobs j WHERE j.id = a.id AND j.tenant_id = a.tenant_id
    UNION ALL
    SELECT j.id, j.request_hash FROM jobs j WHERE j.tenant_id = a.tenant_id AND j.idempotency_key = a.key
    UNION ALL
    SELECT s.job_id, s.request_hash FROM spent_keys s WHERE s.tenant_id = a.tenant_id AND s.idempotency_key = a.key
    LIMIT 1
) earlier ON true
ORDER BY a.number
""")
# A tenant that wakes starts at the least vtime of those that wait: idle time earns no credit.
_INSERT = Statement("""
WITH accepted AS (
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:priorities AS integer[]), CAST(:workflows AS text[]),
        CAST(:labels AS text[]), CAST(:requirements AS bigint[]), CAST(:images AS integer[]), CAST(:keys AS text[]),
        CAST(:hashes AS text[]), CAST(:start_within AS float[]), CAST(:run_within AS float[]),
        CAST(:models AS text[]), CAST(:seeds AS text[]), CAST(:graphs AS text[]), CAST(:inputs AS text[]),
        CAST(:events AS text[]), CAST(:message_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:retries AS uuid[])
    ) AS a (id, tenant_id, priority, workflow, labels, requirement_id, images, key, request_hash, start_within,
            run_within, model, seed, graph, inputs, event, message_id, subject, retry_of)
), made AS (
    INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
                      idempotency_key, request_hash, start_by, run_within_s, model, seed, retry_of)
    SELECT id, tenant_id, 'queued', priority, workflow, CAST(labels AS jsonb), requirement_id, images, :usage_day, 1,
           key, request_hash, now() + make_interval(secs => start_within), run_within, model, CAST(seed AS numeric),
           retry_of
    FROM accepted
), drawn AS (
    INSERT INTO graphs (job_id, graph, inputs) SELECT id, CAST(graph AS json), CAST(inputs AS uuid[]) FROM accepted
), logged AS (
    INSERT INTO job_events (job_id, seq, event) SELECT id, 1, CAST(event AS jsonb) FROM accepted
), charged AS (
    INSERT INTO usage_days (tenant_id, day, images, jobs)
    SELECT tenant_id, :usage_day, sum(images), count(*) FROM accepted GROUP BY tenant_id
    ON CONFLICT (tenant_id, day) DO UPDATE SET images = usage_days.images + excluded.images,
        jobs = usage_days.jobs + excluded.jobs
), counted AS (
    UPDATE tenants SET queued = queued + added.jobs, vtime = CASE WHEN queued > 0 THEN vtime ELSE
        greatest(vtime, coalesce((SELECT min(t.vtime) FROM tenants t WHERE t.ready), vtime)) END
    FROM (SELECT tenant_id, count(*) AS jobs FROM accepted GROUP BY tenant_id) added
    WHERE tenants.id = added.tenant_id
)
INSERT INTO outbox (message_id, subject, body) SELECT message_id, subject, convert_to(event, 'UTF8') FROM accepted
""")


async def facts(connection: Connection, candidates: Sequence[Candidate], *, day: date) -> list[Facts]:
    """What decides each of them, in order; their tenants' locks must be held."""
    commands = [candidate.command for candidate in candidates]
    rows = await _FACTS.all(
        connection,
        day=day,
        tenants=[candidate.tenant_id for candidate in candidates],
        ids=[command.job_id for command in commands],
        keys=[command.idempotency_key for command in commands],
        priorities=[command.priority for command in commands],
    )
    return [
        Facts(
            images_today=row["images_today"],
            behind=row["behind"],
            earlier=(row["earlier_id"], row["earlier_hash"]) if row["earlier_id"] else None,
        )
        for row in rows
    ]


async def insert(connection: Connection, accepted: Sequence[Accepted], *, day: date) -> None:
    """Write new jobs with graph, first event, outbox row and their tenants' counters; the locks must be held."""
    commands = [one.candidate.command for one in accepted]
    await _INSERT.run(
        connection,
        usage_day=day,
        ids=[command.job_id for command in commands],
        tenants=[one.candidate.tenant_id for one in accepted],
        priorities=[command.priority for command in commands],
        workflows=[command.workflow for command in commands],
        labels=[orjson.dumps(command.labels).decode() for command in commands],
        requirements=[one.candidate.requirement_id for one in accepted],
        images=[one.candidate.images for one in accepted],
        keys=[command.idempotency_key for command in commands],
        hashes=[command.request_hash for command in commands],
        start_within=[command.start_within_seconds for command in commands],
        run_within=[command.run_within_seconds for command in commands],
        models=[command.model for command in commands],
        seeds=[None if command.seed is None else str(command.seed) for command in commands],
        graphs=[one.candidate.graph for one in accepted],
        inputs=[f"{{{','.join(map(str, command.inputs))}}}" for command in commands],
        events=[_event(one).model_dump_json() for one in accepted],
        message_ids=[new_id() for _ in accepted],
        retries=[command.retry_of for command in commands],
        subjects=[JOB_CHANGED.subject(str(one.standing.tenant_id), str(one.standing.id)) for one in accepted],
    )


def _event(accepted: Accepted) -> JobEvent:
    job = accepted.standing
    return JobEvent(
        job_id=job.id,
        tenant_id=job.tenant_id,
        seq=job.seq,
        state=job.state,
        cause=Cause.SUBMITTED,
        attempt=job.attempt,
        at=job.created_at,
    )
