"""Attempts: claimed, renewed, ended. Every write is fenced by (job, attempt, lease token)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from chassis.database.statement import Connection, Statement
from contracts.scheduler.attempts import Assignment, AttemptRef
from contracts.scheduler.jobs import JobError, JobState
from scheduler.domain.job import LockedJob
from scheduler.domain.settlement import COST_ESTIMATE_S


@dataclass(frozen=True, slots=True)
class Claimable:
    """A job that a node could take, under its lock, with its tenant's lock held."""

    job: LockedJob
    graph: dict[str, Any]
    inputs: tuple[UUID, ...]
    extra_data: dict[str, Any] | None
    run_within_s: float | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Silence:
    """What is known of a live attempt whose executor does not report.

    Attributes:
        heard_s: seconds from the attempt's lease to its last heartbeat.
        boot_id: of the executor that was heard last.
        node_died: the executor is silent, and no other one fell silent at about the same time, as many do when the
            network or a whole site is cut off.
    """

    heard_s: float
    boot_id: UUID | None
    node_died: bool


_NODE_CATALOG = Statement("SELECT catalog_digest FROM nodes WHERE name = :node AND cordoned_at IS NULL FOR UPDATE")
_LIVE = Statement("""
UPDATE attempts SET lease_until = now() + make_interval(secs => :lease_s)
FROM jobs j JOIN graphs g ON g.job_id = j.id
WHERE attempts.node = :node AND attempts.ended_at IS NULL AND j.id = attempts.job_id
RETURNING attempts.job_id, attempts.tenant_id, attempts.attempt, attempts.lease_token, attempts.prompt_id,
    g.graph, g.inputs, g.extra_data, j.run_within_s, j.images
""")
_PICK_TENANT = Statement("""
SELECT t.id, now() AS now FROM tenants t
WHERE t.ready AND EXISTS (
    SELECT 1 FROM jobs j
    WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold
        AND j.requirement_id = ANY(CAST(:runnable AS bigint[]))
        AND (j.avoid_node IS DISTINCT FROM CAST(:node AS text) OR j.avoid_until < now())
)
ORDER BY t.vtime, t.id LIMIT 1 FOR UPDATE OF t SKIP LOCKED
""")
_PICK_JOB = Statement("""
SELECT j.id, j.tenant_id, j.state, j.attempt, j.seq, j.images, j.usage_day, j.on_hold, j.endpoint,
    j.fail_without_outputs, j.run_within_s,
    g.graph, g.inputs, g.extra_data
FROM jobs j JOIN graphs g ON g.job_id = j.id
WHERE j.tenant_id = :tenant_id AND j.state = 'queued' AND NOT j.on_hold
    AND j.requirement_id = ANY(CAST(:runnable AS bigint[]))
    AND (j.avoid_node IS DISTINCT FROM CAST(:node AS text) OR j.avoid_until < now())
ORDER BY j.priority DESC, j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED
""")
_KEPT_AWAY = Statement("""
SELECT DISTINCT requirement_id FROM jobs
WHERE avoid_node = :node AND state = 'queued' AND NOT on_hold AND requirement_id = ANY(CAST(:runnable AS bigint[]))
""")
_KEEP_AWAY = Statement("""
UPDATE jobs SET avoid_node = a.node, avoid_until = now() + make_interval(secs => :seconds)
FROM attempts a WHERE jobs.id = :job_id AND a.job_id = jobs.id AND a.attempt = :attempt
""")
_BEGIN = Statement("""
INSERT INTO attempts (job_id, attempt, tenant_id, node, lease_token, prompt_id, lease_until, cost)
VALUES (:job_id, :attempt, :tenant_id, :node, :lease_token, :prompt_id,
        now() + make_interval(secs => :lease_s), :cost)
""")
_LOCK_JOB = Statement("SELECT 1 FROM jobs WHERE id = :job_id FOR UPDATE")
_RENEW = Statement("""
UPDATE attempts SET lease_until = now() + make_interval(secs => :lease_s)
FROM jobs j
WHERE attempts.job_id = :job_id AND attempts.attempt = :attempt AND attempts.lease_token = :lease_token
    AND attempts.node = :node AND attempts.ended_at IS NULL AND j.id = attempts.job_id
RETURNING j.state
""")
_PROGRESS = Statement("""
UPDATE jobs SET progress = greatest(progress, :progress)
WHERE id = :job_id AND attempt = :attempt AND state IN ('leased', 'running')
""")
_END = Statement("""
UPDATE attempts SET ended_at = now(), outcome = :outcome, error = CAST(:error AS jsonb), gpu_seconds = :gpu_seconds,
    node_died = :node_died, silent_boot_id = :silent_boot_id
WHERE job_id = :job_id AND attempt = :attempt AND lease_token = :lease_token AND ended_at IS NULL
""")
_LAPSED = Statement("""
SELECT job_id, tenant_id, attempt, lease_token FROM attempts
WHERE ended_at IS NULL AND lease_until < now() ORDER BY lease_until LIMIT 100
""")
# Executors fall silent together within half a lease: that is two or three heartbeats.
_SILENCE = Statement("""
SELECT greatest(extract(epoch FROM a.lease_until - a.leased_at)::float - :lease_s, 0) AS heard_s, n.boot_id,
    coalesce(n.seen_at < now() - make_interval(secs => :lease_s / 2), true) AND NOT EXISTS (
        SELECT 1 FROM nodes o WHERE o.name <> a.node AND o.seen_at < now() - make_interval(secs => :lease_s / 2)
            AND o.seen_at > n.seen_at - make_interval(secs => :lease_s / 2)
            AND o.seen_at < n.seen_at + make_interval(secs => :lease_s / 2)
    ) AS node_died
FROM attempts a LEFT JOIN nodes n ON n.name = a.node
WHERE a.job_id = :job_id AND a.attempt = :attempt AND a.lease_token = :lease_token
""")
# The newest event of a job that runs is its start.
_OVERDUE = Statement("""
SELECT a.job_id, a.tenant_id, a.attempt, a.lease_token FROM attempts a JOIN jobs j ON j.id = a.job_id
WHERE a.ended_at IS NULL AND j.state = 'running'
    AND a.leased_at + make_interval(secs => j.run_within_s + :grace_s) < now()
    AND (SELECT (e.event->>'at')::timestamptz FROM job_events e WHERE e.job_id = j.id AND e.seq = j.seq)
        + make_interval(secs => j.run_within_s + :grace_s) < now()
LIMIT 100
""")
_NODE = Statement("SELECT node FROM attempts WHERE job_id = :job_id AND ended_at IS NULL")
_LIVE_REF = "SELECT a.job_id, a.tenant_id, a.attempt, a.lease_token FROM attempts a "
_OF_JOB = Statement(_LIVE_REF + "WHERE a.job_id = :job_id AND a.ended_at IS NULL")
_ON_NODE = Statement(_LIVE_REF + "WHERE a.node = :node AND a.ended_at IS NULL")
_TO_DRAIN = Statement(
    _LIVE_REF
    + """
JOIN nodes n ON n.name = a.node JOIN jobs j ON j.id = a.job_id
WHERE a.ended_at IS NULL AND n.drain_at <= now() AND j.state IN ('leased', 'running') LIMIT 100
"""
)
_USUAL = Statement("""
SELECT avg(gpu_seconds) FROM (
    SELECT gpu_seconds FROM attempts WHERE ended_at IS NOT NULL AND outcome = 'succeeded'
    ORDER BY ended_at DESC LIMIT 20
) newest
""")


async def lock_node(connection: Connection, node: str) -> str | None:
    """Take the node's lock, so that nobody else claims for it; the digest of what it can run, None if cordoned."""
    digest: str | None = await _NODE_CATALOG.value(connection, node=node)
    return digest


async def live_on(connection: Connection, node: str, lease_s: float) -> Assignment | None:
    """The attempt that the node holds already, its lease renewed."""
    row = await _LIVE.first(connection, node=node, lease_s=lease_s)
    if row is None:
        return None
    return Assignment(
        ref=AttemptRef(
            job_id=row["job_id"], tenant_id=row["tenant_id"], attempt=row["attempt"], lease_token=row["lease_token"]
        ),
        prompt_id=row["prompt_id"],
        graph=row["graph"],
        inputs=tuple(row["inputs"]),
        extra_data=row["extra_data"],
        lease_s=lease_s,
        run_within_s=row["run_within_s"],
        images=row["images"],
    )


async def pick(connection: Connection, runnable: Sequence[int], *, node: str | None) -> Claimable | None:
    """The best job of the fairest tenant among those that a node can run, tenant and job locked in this order.

    Args:
        runnable: requirements that the node meets.
        node: it gets no job that is kept away from it; None gets those, too.
    """
    parameters = {"runnable": list(runnable), "node": node or ""}
    tenant = await _PICK_TENANT.first(connection, **parameters)
    if tenant is None:
        return None
    row = await _PICK_JOB.first(connection, **parameters, tenant_id=tenant["id"])
    if row is None:
        return None
    fields = {name: row[name] for name in LockedJob.__slots__}
    job = LockedJob(**{**fields, "state": JobState(row["state"])})
    return Claimable(
        job=job,
        graph=row["graph"],
        inputs=tuple(row["inputs"]),
        extra_data=row["extra_data"],
        run_within_s=row["run_within_s"],
        now=tenant["now"],
    )


async def kept_away(connection: Connection, runnable: Sequence[int], *, node: str) -> list[int]:
    """The requirements of jobs that wait, and that the node could run were they not kept away from it."""
    return [row["requirement_id"] for row in await _KEPT_AWAY.all(connection, runnable=list(runnable), node=node)]


async def keep_away(connection: Connection, ref: AttemptRef, *, seconds: float) -> None:
    """Keep the job away from the node of this attempt for so long. The job must be held."""
    await _KEEP_AWAY.run(connection, job_id=ref.job_id, attempt=ref.attempt, seconds=seconds)


async def begin(connection: Connection, found: Claimable, node: str, *, lease_s: float) -> Assignment:
    """Lease the job's next attempt to the node, under fresh tokens."""
    job = found.job
    ref = AttemptRef(job_id=job.id, tenant_id=job.tenant_id, attempt=job.attempt + 1, lease_token=uuid4())
    prompt_id = uuid4()  # ComfyUI 0.24 and newer takes canonical UUIDs only
    parameters = {"node": node, "prompt_id": prompt_id, "lease_s": lease_s, "cost": COST_ESTIMATE_S}
    await _BEGIN.run(connection, **{**ref.model_dump(), **parameters})
    return Assignment(
        ref=ref,
        prompt_id=prompt_id,
        graph=found.graph,
        inputs=found.inputs,
        extra_data=found.extra_data,
        lease_s=lease_s,
        run_within_s=found.run_within_s,
        images=job.images,
    )


async def renew(
    connection: Connection, ref: AttemptRef, node: str, *, lease_s: float, progress: float
) -> JobState | None:
    """Renew the lease and note the progress; the job's state, or None where the lease is not held any more."""
    key = {"job_id": ref.job_id, "attempt": ref.attempt}
    parameters = {**key, "lease_token": ref.lease_token, "node": node, "lease_s": lease_s}
    await _LOCK_JOB.run(connection, **key)  # job before attempt, as everywhere
    state = await _RENEW.value(connection, **parameters)
    if state is None:
        return None
    await _PROGRESS.run(connection, **{**key, "progress": progress})
    return JobState(state)


async def end(
    connection: Connection,
    ref: AttemptRef,
    outcome: str,
    *,
    error: JobError | None,
    gpu_seconds: float,
    node_died: bool = False,
    silent_boot_id: UUID | None = None,
) -> None:
    """Write how the attempt ended, an ``Outcome`` or ``WITHDRAWN``. It must be held.

    Args:
        silent_boot_id: the executor whose silence is all that is known of the node's death.
    """
    values = {
        "outcome": outcome,
        "error": error.model_dump_json() if error else None,
        "gpu_seconds": gpu_seconds,
        "node_died": node_died,
        "silent_boot_id": silent_boot_id,
    }
    await _END.run(connection, **_key(ref), **values)


async def lapsed(connection: Connection) -> list[AttemptRef]:
    """Attempts whose lease has lapsed, unlocked."""
    return [AttemptRef(**row) for row in await _LAPSED.all(connection)]


async def silence(connection: Connection, ref: AttemptRef, *, lease_s: float) -> Silence:
    """What is known of a live attempt whose executor does not report. It must be held."""
    row = await _SILENCE.first(connection, **_key(ref), lease_s=lease_s)
    assert row is not None  # noqa: S101 - the caller holds its lock
    return Silence(heard_s=row["heard_s"], boot_id=row["boot_id"], node_died=row["node_died"])


async def overdue(connection: Connection, *, grace_s: float) -> list[AttemptRef]:
    """Attempts that run for longer than their job may, by more than the grace, unlocked."""
    return [AttemptRef(**row) for row in await _OVERDUE.all(connection, grace_s=grace_s)]


async def node_of(connection: Connection, job_id: UUID) -> str | None:
    """The node that holds a live attempt of the job."""
    node: str | None = await _NODE.value(connection, job_id=job_id)
    return node


async def live_of(connection: Connection, job_id: UUID) -> AttemptRef | None:
    """The live attempt of a job, unlocked."""
    row = await _OF_JOB.first(connection, job_id=job_id)
    return AttemptRef(**row) if row else None


async def live_ref(connection: Connection, node: str) -> AttemptRef | None:
    """The live attempt that a node holds, unlocked and as it is."""
    row = await _ON_NODE.first(connection, node=node)
    return AttemptRef(**row) if row else None


async def to_drain(connection: Connection) -> list[AttemptRef]:
    """Attempts that go on, unlocked, on nodes whose grace is over."""
    return [AttemptRef(**row) for row in await _TO_DRAIN.all(connection)]


async def usual_seconds(connection: Connection) -> float | None:
    """GPU-seconds of a usual attempt: the mean of the newest 20 that succeeded."""
    usual: float | None = await _USUAL.value(connection)
    return usual


def _key(ref: AttemptRef) -> dict[str, Any]:
    return {"job_id": ref.job_id, "attempt": ref.attempt, "lease_token": ref.lease_token}
