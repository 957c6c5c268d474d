"""Attempts: leased, renewed and ended. Every write is fenced by (job, attempt, lease token)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from chassis.database.statement import Connection, Statement
from contracts.scheduler.attempts import MAX_NODE_ATTEMPTS, OUT_OF_MEMORY, Assignment, AttemptRef
from contracts.scheduler.jobs import JobError, JobState
from scheduler.domain.gpu_memory import to_gib
from scheduler.domain.settlement import UNCOUNTED_OUTCOMES
from scheduler.store.claims import GPU_BYTES, ClaimableJob


class AttemptSlot(NamedTuple):
    """A free slot for a live attempt of a node.

    Attributes:
        is_prefetch: whether the node has another live attempt, which ends first.
    """

    number: int
    is_prefetch: bool


class PrefetchedAttempt(NamedTuple):
    """A live attempt that was prefetched and has not started.

    Attributes:
        loads_models: whether its node has to load models for it; None: unknown.
        age_s: seconds since it was prefetched.
    """

    job_id: UUID
    attempt: int
    node: str
    requirement_id: int
    loads_models: bool | None
    age_s: float


class LeasedJob(NamedTuple):
    """A live attempt of a node, to be sent to its executor, and the requirement of its job."""

    assignment: Assignment
    requirement_id: int


class AttemptGpuMemory(NamedTuple):
    """The GPU memory of an attempt's node, and how often the job ran out of memory before.

    Attributes:
        node_gib: memory of the GPU; 0 if unknown.
        earlier_faults: number of earlier attempts of the job whose node had too little memory.
    """

    requirement_id: int
    node_gib: int
    earlier_faults: int


@dataclass(frozen=True, slots=True)
class ExecutorSilence:
    """A live attempt whose executor has stopped reporting.

    Attributes:
        heard_s: seconds from the start of the attempt to its last heartbeat; charged as GPU-seconds.
        boot_id: boot id of the executor's last heartbeat; None if the node is unknown.
        node_died: whether no other executor stopped reporting at about the same time. If several did, the network
            probably failed, and the node did not die.
    """

    heard_s: float
    boot_id: UUID | None
    node_died: bool


# Joins to the node ``n``, as ``a``, the attempt that it runs; if it runs none, one that it stores or will run.
JOIN_CURRENT_ATTEMPT = """LEFT JOIN LATERAL (
    SELECT o.* FROM attempts o WHERE o.node = n.name AND o.ended_at IS NULL
    ORDER BY o.prefetched, o.leased_at DESC LIMIT 1
) a ON true"""
_IS_OTHER = """NOT EXISTS (
        SELECT 1 FROM unnest(CAST(:held_jobs AS uuid[]), CAST(:held_attempts AS integer[])) held (job_id, attempt)
        WHERE (held.job_id, held.attempt) = (a.job_id, a.attempt)
    )"""
_LOCK_NODE = Statement("SELECT catalog_digest FROM nodes WHERE name = :node AND cordoned_at IS NULL FOR UPDATE")
# An executor that has other attempts and not this prefetched one never got it, and will not begin it: its lease lapses.
_RENEW_LIVE_OF_NODE = Statement(f"""
UPDATE attempts SET lease_until = CASE
    WHEN attempts.prefetched AND cardinality(CAST(:held_jobs AS uuid[])) > 0 THEN attempts.lease_until
    ELSE now() + make_interval(secs => :lease_s)
END
FROM (
    SELECT a.job_id, a.attempt FROM attempts a WHERE a.node = :node AND a.ended_at IS NULL AND {_IS_OTHER}
    ORDER BY a.prefetched, a.leased_at DESC LIMIT 1
) live, jobs j JOIN graphs g ON g.job_id = j.id
WHERE attempts.job_id = live.job_id AND attempts.attempt = live.attempt AND attempts.ended_at IS NULL
    AND j.id = attempts.job_id
RETURNING attempts.job_id, attempts.tenant_id, attempts.attempt, attempts.lease_token, attempts.prompt_id,
    g.graph, g.inputs, g.extra_data, j.run_within_s, j.images, j.request_id, j.requirement_id
""")  # noqa: S608 - constants only
_LIST_SLOTS = Statement("SELECT slot FROM attempts WHERE node = :node AND ended_at IS NULL")
# A job that was cancelled meanwhile keeps the start that it had: it would begin after its end.
_START_PREFETCHED = Statement("""
WITH started AS (
    UPDATE attempts SET prefetched = false, leased_at = now()
    WHERE job_id = :job_id AND attempt = :attempt AND lease_token = :lease_token
)
UPDATE jobs SET started_at = now() WHERE id = :job_id AND completed_at IS NULL
""")
# Jobs that avoid a node are left out: the node that waits may be the one that they avoid.
_LIST_PREFETCHED = Statement("""
SELECT a.job_id, a.attempt, a.node, j.requirement_id, a.loads_models,
    extract(epoch FROM now() - a.leased_at)::float AS age_s
FROM attempts a JOIN jobs j ON j.id = a.job_id
WHERE a.prefetched AND a.ended_at IS NULL AND j.state = 'leased'
    AND (j.avoid_node IS NULL OR j.avoid_until < now())
    AND a.node = coalesce(CAST(:node AS text), a.node)
ORDER BY a.leased_at LIMIT 100
""")
_AVOID_NODE = Statement("""
UPDATE jobs SET avoid_node = a.node, avoid_until = now() + make_interval(secs => :seconds)
FROM attempts a WHERE jobs.id = :job_id AND a.job_id = jobs.id AND a.attempt = :attempt
""")
_INSERT_ATTEMPT = Statement("""
INSERT INTO attempts (job_id, attempt, tenant_id, node, lease_token, prompt_id, lease_until, cost, slot, prefetched,
                      loads_models)
VALUES (:job_id, :attempt, :tenant_id, :node, :lease_token, :prompt_id,
        now() + make_interval(secs => :lease_s), :cost, :slot, :prefetched, :loads_models)
""")
_LOCK_JOB = Statement("SELECT 1 FROM jobs WHERE id = :job_id FOR UPDATE")
_RENEW_LEASE = Statement("""
UPDATE attempts SET lease_until = now() + make_interval(secs => :lease_s),
    left_node_at = CASE WHEN :left_node THEN coalesce(attempts.left_node_at, now()) ELSE attempts.left_node_at END
FROM jobs j
WHERE attempts.job_id = :job_id AND attempts.attempt = :attempt AND attempts.lease_token = :lease_token
    AND attempts.node = :node AND attempts.ended_at IS NULL AND j.id = attempts.job_id
RETURNING j.state
""")
_SAVE_PROGRESS = Statement("""
UPDATE jobs SET progress = greatest(progress, :progress)
WHERE id = :job_id AND attempt = :attempt AND state IN ('leased', 'running')
""")
# A node that completes a job is not at fault for those that failed on it before. An attempt that was not handed back
# has started, even if the report of its start was lost.
_END_ATTEMPT = Statement(f"""
WITH cleared AS (
    DELETE FROM node_failures f USING attempts a
    WHERE CAST(:outcome AS text) = 'succeeded' AND a.job_id = :job_id AND a.attempt = :attempt AND f.node = a.node
)
UPDATE attempts SET ended_at = now(), outcome = :outcome, error = CAST(:error AS jsonb), gpu_seconds = :gpu_seconds,
    node_died = :node_died, silent_boot_id = :silent_boot_id, node_failed = :node_failed,
    prefetched = prefetched AND CAST(:outcome AS text) IN {UNCOUNTED_OUTCOMES}
WHERE job_id = :job_id AND attempt = :attempt AND lease_token = :lease_token AND ended_at IS NULL
""")  # noqa: S608 - constants only
_LIST_LAPSED = Statement("""
SELECT job_id, tenant_id, attempt, lease_token FROM attempts
WHERE ended_at IS NULL AND lease_until < now() ORDER BY lease_until LIMIT 100
""")
# "At about the same time" is half a lease, which is two or three heartbeats.
_READ_SILENCE = Statement("""
SELECT greatest(extract(epoch FROM a.lease_until - a.leased_at)::float - :lease_s, 0) AS heard_s, n.boot_id,
    coalesce(n.seen_at < now() - make_interval(secs => :lease_s / 2), true) AND NOT EXISTS (
        SELECT 1 FROM nodes o WHERE o.name <> a.node AND o.seen_at < now() - make_interval(secs => :lease_s / 2)
            AND o.seen_at > n.seen_at - make_interval(secs => :lease_s / 2)
            AND o.seen_at < n.seen_at + make_interval(secs => :lease_s / 2)
    ) AS node_died
FROM attempts a LEFT JOIN nodes n ON n.name = a.node
WHERE a.job_id = :job_id AND a.attempt = :attempt AND a.lease_token = :lease_token
""")
# The newest event of a running job is its start. An attempt that has left its node, or whose outputs wait for the
# artifact store, has run in time: its executor, too, limits its run time. Executors of earlier versions report only the
# latter.
_LIST_OVERTIME = Statement("""
SELECT a.job_id, a.tenant_id, a.attempt, a.lease_token FROM attempts a JOIN jobs j ON j.id = a.job_id
WHERE a.ended_at IS NULL AND a.left_node_at IS NULL AND j.state = 'running'
    AND a.leased_at + make_interval(secs => j.run_within_s + :grace_s) < now()
    AND (SELECT (e.event->>'at')::timestamptz FROM job_events e WHERE e.job_id = j.id AND e.seq = j.seq)
        + make_interval(secs => j.run_within_s + :grace_s) < now()
    AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.name = a.node AND n.occupied_by = 'storage')
LIMIT 100
""")
_READ_MEMORY = Statement(f"""
SELECT j.requirement_id, (SELECT {GPU_BYTES} FROM nodes n WHERE n.name = a.node) AS gpu_bytes, (
    SELECT count(*) FROM attempts o WHERE o.job_id = a.job_id AND o.attempt < a.attempt
        AND o.outcome = 'node_fault' AND o.error->>'code' = '{OUT_OF_MEMORY}'
) AS earlier_faults
FROM attempts a JOIN jobs j ON j.id = a.job_id
WHERE a.job_id = :job_id AND a.attempt = :attempt AND a.lease_token = :lease_token AND a.ended_at IS NULL
""")  # noqa: S608 - constants only
_SET_REQUIREMENT = Statement("UPDATE jobs SET requirement_id = :requirement_id WHERE id = :id")
_FIND_NODE = Statement("SELECT node FROM attempts WHERE job_id = :job_id AND ended_at IS NULL")
_SELECT_REF = "SELECT a.job_id, a.tenant_id, a.attempt, a.lease_token FROM attempts a "
_FIND_LIVE_OF_JOB = Statement(_SELECT_REF + "WHERE a.job_id = :job_id AND a.ended_at IS NULL")
_FIND_LIVE_ON_NODE = Statement(
    _SELECT_REF
    + f"WHERE a.node = :node AND a.ended_at IS NULL AND {_IS_OTHER} ORDER BY a.prefetched, a.leased_at DESC LIMIT 1"
)
_LIST_TO_DRAIN = Statement(
    _SELECT_REF
    + """
JOIN nodes n ON n.name = a.node JOIN jobs j ON j.id = a.job_id
WHERE a.ended_at IS NULL AND n.drain_at <= now() AND j.state IN ('leased', 'running') LIMIT 100
"""
)
_MEAN_GPU_SECONDS = Statement("""
SELECT avg(gpu_seconds) FROM (
    SELECT gpu_seconds FROM attempts WHERE ended_at IS NOT NULL AND outcome = 'succeeded'
    ORDER BY ended_at DESC LIMIT 20
) newest
""")


async def lock_node_and_read_digest(connection: Connection, node: str) -> str | None:
    """Lock the node against concurrent claims until the transaction ends, and read the digest of its catalog.

    Returns:
        The digest; None if the node is unknown, cordoned or has no catalog.
    """
    digest: str | None = await _LOCK_NODE.fetch_value(connection, node=node)
    return digest


async def renew_live_assignment(
    connection: Connection, node: str, lease_s: float, *, held: Sequence[AttemptRef] = ()
) -> LeasedJob | None:
    """Renew the lease of a live attempt of the node and return it; None if the node has no live attempt.

    Args:
        held: attempts that the executor has already. They are not returned; of several others, the running one is. If
            there are any, a prefetched attempt is returned without renewing its lease: the reply that assigned it was
            lost, and another node should run it.
    """
    row = await _RENEW_LIVE_OF_NODE.fetch_first(connection, node=node, lease_s=lease_s, **_build_held_parameters(held))
    if row is None:
        return None
    assignment = Assignment(
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
        request_id=row["request_id"],
        renewed=True,
    )
    return LeasedJob(assignment, row["requirement_id"])


async def set_avoided_node(connection: Connection, ref: AttemptRef, *, seconds: float) -> None:
    """Make the job avoid the node of this attempt for ``seconds``. The job's lock must be held."""
    await _AVOID_NODE.execute(connection, job_id=ref.job_id, attempt=ref.attempt, seconds=seconds)


async def find_free_slot(connection: Connection, node: str, *, max_attempts: int) -> AttemptSlot | None:
    """Find a slot for another live attempt of the node, whose lock must be held; None if it has ``max_attempts``."""
    taken = {row["slot"] for row in await _LIST_SLOTS.fetch_all(connection, node=node)}
    if len(taken) >= max_attempts:
        return None
    free = min(number for number in range(MAX_NODE_ATTEMPTS) if number not in taken)
    return AttemptSlot(number=free, is_prefetch=bool(taken))


async def insert_attempt(
    connection: Connection,
    claimable: ClaimableJob,
    node: str,
    *,
    slot: AttemptSlot,
    lease_s: float,
    cost_s: float,
    loads_models: bool,
) -> LeasedJob:
    """Lease the job's next attempt to the node, with a new lease token and prompt id.

    Args:
        cost_s: GPU-seconds charged at the claim.
        loads_models: whether the node has to load models of the job, as far as is known.
    """
    job = claimable.job
    ref = AttemptRef(job_id=job.id, tenant_id=job.tenant_id, attempt=job.attempt + 1, lease_token=uuid4())
    prompt_id = uuid4()  # ComfyUI 0.24 and newer accepts canonical UUIDs only
    parameters = {
        "node": node,
        "prompt_id": prompt_id,
        "lease_s": lease_s,
        "cost": cost_s,
        "slot": slot.number,
        "prefetched": slot.is_prefetch,
        "loads_models": loads_models,
    }
    await _INSERT_ATTEMPT.execute(connection, **{**ref.model_dump(), **parameters})
    assignment = Assignment(
        ref=ref,
        prompt_id=prompt_id,
        graph=claimable.graph,
        inputs=claimable.inputs,
        extra_data=claimable.extra_data,
        lease_s=lease_s,
        run_within_s=claimable.run_within_s,
        images=job.images,
        request_id=job.request_id,
    )
    return LeasedJob(assignment, claimable.requirement_id)


async def start_prefetched(connection: Connection, ref: AttemptRef) -> None:
    """Record that a prefetched attempt has started. Its lock and that of its job must be held."""
    await _START_PREFETCHED.execute(connection, **_build_fence_parameters(ref))


async def list_prefetched_attempts(connection: Connection, *, node: str | None = None) -> list[PrefetchedAttempt]:
    """List up to 100 live attempts that were prefetched and have not started, oldest first. Takes no lock.

    Args:
        node: list only those of this node.
    """
    return [PrefetchedAttempt(**row) for row in await _LIST_PREFETCHED.fetch_all(connection, node=node)]


async def renew_lease(
    connection: Connection, ref: AttemptRef, node: str, *, lease_s: float, progress: float | None, left_node: bool
) -> JobState | None:
    """Renew the lease and record the progress, unless it is None.

    Args:
        left_node: whether its prompt has ended.

    Returns:
        The state of the job; None if the node no longer holds the lease.
    """
    key = {"job_id": ref.job_id, "attempt": ref.attempt}
    parameters = {
        **key, "lease_token": ref.lease_token, "node": node, "lease_s": lease_s, "left_node": left_node,
    }  # fmt: skip
    await _LOCK_JOB.execute(connection, **key)  # lock order: job before attempt
    state = await _RENEW_LEASE.fetch_value(connection, **parameters)
    if state is None:
        return None
    if progress is not None:
        await _SAVE_PROGRESS.execute(connection, **{**key, "progress": progress})
    return JobState(state)


async def end_attempt(
    connection: Connection,
    ref: AttemptRef,
    outcome: str,
    *,
    error: JobError | None,
    gpu_seconds: float,
    node_died: bool = False,
    silent_boot_id: UUID | None = None,
    node_failed: bool = False,
) -> None:
    """Record the end of the attempt. Its lock must be held.

    Args:
        outcome: an ``Outcome`` or ``WITHDRAWN``.
        silent_boot_id: boot id of the executor, if the node's death is concluded only from its silence. If the same
            boot id sends a heartbeat again, the node did not die.
    """
    values = {
        "outcome": outcome,
        "error": error.model_dump_json() if error else None,
        "gpu_seconds": gpu_seconds,
        "node_died": node_died,
        "silent_boot_id": silent_boot_id,
        "node_failed": node_failed,
    }
    await _END_ATTEMPT.execute(connection, **_build_fence_parameters(ref), **values)


async def list_lapsed_attempts(connection: Connection) -> list[AttemptRef]:
    """List up to 100 attempts whose lease has lapsed. Takes no lock."""
    return [AttemptRef(**row) for row in await _LIST_LAPSED.fetch_all(connection)]


async def read_executor_silence(connection: Connection, ref: AttemptRef, *, lease_s: float) -> ExecutorSilence:
    """Read what is known of a live attempt whose executor does not report. Its lock must be held."""
    row = await _READ_SILENCE.fetch_first(connection, **_build_fence_parameters(ref), lease_s=lease_s)
    assert row is not None  # noqa: S101 - the caller holds its lock
    return ExecutorSilence(heard_s=row["heard_s"], boot_id=row["boot_id"], node_died=row["node_died"])


async def list_overtime_attempts(connection: Connection, *, grace_s: float) -> list[AttemptRef]:
    """List up to 100 attempts that exceed the run time of their job by more than ``grace_s``. Takes no lock."""
    return [AttemptRef(**row) for row in await _LIST_OVERTIME.fetch_all(connection, grace_s=grace_s)]


async def read_gpu_memory(connection: Connection, ref: AttemptRef) -> AttemptGpuMemory | None:
    """Read the memory of the node of a live attempt; None if the attempt is not live. Takes no lock."""
    row = await _READ_MEMORY.fetch_first(connection, **_build_fence_parameters(ref))
    return AttemptGpuMemory(row["requirement_id"], to_gib(row["gpu_bytes"]), row["earlier_faults"]) if row else None


async def set_requirement(connection: Connection, job_id: UUID, requirement_id: int) -> None:
    """Change the requirement of the job. It must not be queued, and its lock must be held."""
    await _SET_REQUIREMENT.execute(connection, id=job_id, requirement_id=requirement_id)


async def find_node_of_job(connection: Connection, job_id: UUID) -> str | None:
    """Find the node that holds the live attempt of the job."""
    node: str | None = await _FIND_NODE.fetch_value(connection, job_id=job_id)
    return node


async def find_live_attempt_of_job(connection: Connection, job_id: UUID) -> AttemptRef | None:
    """Find the live attempt of a job. Takes no lock."""
    row = await _FIND_LIVE_OF_JOB.fetch_first(connection, job_id=job_id)
    return AttemptRef(**row) if row else None


async def find_live_attempt_on_node(
    connection: Connection, node: str, *, held: Sequence[AttemptRef] = ()
) -> AttemptRef | None:
    """Find the attempt that ``renew_live_assignment`` would return, without locking it or renewing its lease."""
    row = await _FIND_LIVE_ON_NODE.fetch_first(connection, node=node, **_build_held_parameters(held))
    return AttemptRef(**row) if row else None


async def list_attempts_to_drain(connection: Connection) -> list[AttemptRef]:
    """List up to 100 attempts on draining nodes whose grace period is over. Takes no lock."""
    return [AttemptRef(**row) for row in await _LIST_TO_DRAIN.fetch_all(connection)]


async def compute_mean_gpu_seconds(connection: Connection) -> float | None:
    """Compute the mean GPU-seconds of the newest 20 attempts that succeeded; None if there are none."""
    mean_s: float | None = await _MEAN_GPU_SECONDS.fetch_value(connection)
    return mean_s


def _build_held_parameters(held: Sequence[AttemptRef]) -> dict[str, Any]:
    return {"held_jobs": [ref.job_id for ref in held], "held_attempts": [ref.attempt for ref in held]}


def _build_fence_parameters(ref: AttemptRef) -> dict[str, Any]:
    return {"job_id": ref.job_id, "attempt": ref.attempt, "lease_token": ref.lease_token}
