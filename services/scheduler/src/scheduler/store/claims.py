"""Finds the job that a node runs next. The work of a claim does not grow with the number of queued jobs.

A claim starts from ``waiting_requirements``: which tenants have queued jobs with which requirement (decision record
0056). Of the tenant whose turn it is, it reads the first jobs in the order of its queue. Only if the node can run none
of them, it looks up the requirements one by one (decision record 0065).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.jobs import JobState
from scheduler.domain.gpu_memory import to_gib
from scheduler.domain.job import LockedJob
from scheduler.domain.placement import FirstJob, TenantFairShare, TenantWithWarmJob, Warmth

MAX_CANDIDATES = 4  # tenants per claim; if other transactions lock all of them, the claim is repeated
FIRST_TENANTS = 32  # in fair order, searched first: usually one of them has a job for the node
FIRST_JOBS = 1000  # of a tenant's queue, searched first: ten times as fast as looking up requirements
FIRST_RUNNABLE = 32  # jobs of the first ones that are searched for a warm job
MAX_PREFERRED = 32  # requirements that are looked up to find a warmer job than those
MAX_WARM = 16  # requirements by which warm jobs of other tenants are searched
MAX_PAIRS_TO_LOOK_UP = 1000  # of tenant and requirement; more are compared with all ready tenants
MAX_PAIRS_TO_HASH = 20_000  # about 1 MB of hash table; of more pairs, duplicate tenants are removed first

# Memory of the GPU of the node ``n``, bytes. ComfyUI uses the first one that it lists.
GPU_BYTES = "CAST(n.system->'gpus'->0->>'memory_total_bytes' AS bigint)"
# The expression of ix_jobs_claimable. PostgreSQL cannot derive it from the condition of ix_jobs_queue, so it never uses
# that index instead, where it would filter all jobs of the tenant.
IS_CLAIMABLE = "CASE WHEN j.state = 'queued' THEN NOT j.on_hold END"


@dataclass(frozen=True, slots=True)
class ClaimableJob:
    """A job that a node can run. The locks of the job and of its tenant are held."""

    job: LockedJob
    requirement_id: int
    graph: dict[str, Any]
    inputs: tuple[UUID, ...]
    extra_data: dict[str, Any] | None
    run_within_s: float | None
    now: datetime


class ClaimingNode(NamedTuple):
    """What decides whether a node may claim a job.

    Attributes:
        digest: digest of its catalog; None if the node is unknown, cordoned or has no catalog.
        has_attempt: whether it has a live attempt.
        memory_gib: memory of its GPU; 0 if unknown.
    """

    digest: str | None
    has_attempt: bool
    memory_gib: int


class LockedTenant(NamedTuple):
    """A tenant whose lock is held."""

    id: UUID
    tier: str
    vtime: float
    weight: float
    now: datetime

    @property
    def fair_share(self) -> TenantFairShare:
        return TenantFairShare(self.id, self.vtime, self.weight)


_READ_NODES = Statement(f"""
SELECT given.node, n.digest, n.gpu_bytes,
    EXISTS (SELECT 1 FROM attempts a WHERE a.node = given.node AND a.ended_at IS NULL) AS has_attempt
FROM unnest(CAST(:nodes AS text[])) AS given (node) LEFT JOIN LATERAL (
    SELECT CASE WHEN n.cordoned_at IS NULL THEN n.catalog_digest END AS digest, {GPU_BYTES} AS gpu_bytes
    FROM nodes n WHERE n.name = given.node OFFSET 0
) n ON true
""")  # noqa: S608 - constants only
_LIST_DIGESTS = Statement("""
SELECT name, catalog_digest FROM nodes WHERE name = ANY(CAST(:nodes AS text[])) AND cordoned_at IS NULL
""")
# One step along the primary key per requirement: DISTINCT would read a row per tenant, too.
_LIST_REQUIREMENTS = Statement("""
WITH RECURSIVE found AS (
    (SELECT requirement_id FROM waiting_requirements ORDER BY requirement_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT w.requirement_id FROM waiting_requirements w WHERE w.requirement_id > found.requirement_id
        ORDER BY w.requirement_id LIMIT 1
    ) FROM found WHERE found.requirement_id IS NOT NULL
)
SELECT requirement_id FROM found WHERE requirement_id IS NOT NULL
""")
# PostgreSQL never flattens scalar subqueries, or those with LIMIT or OFFSET 0, so tenants are visited in fair order
# until the last candidate, whatever row count is estimated.
_MAY_RUN_HERE = "(j.avoid_node IS DISTINCT FROM CAST(:node AS text) OR j.avoid_until < now())"
_FIRST_JOB = f"""
    SELECT j.id, j.priority, j.passed_over_at, j.created_at FROM jobs j
    WHERE j.tenant_id = w.tenant_id AND j.requirement_id = w.requirement_id AND {IS_CLAIMABLE} AND {_MAY_RUN_HERE}
    ORDER BY j.priority DESC, j.id LIMIT 1
"""  # noqa: S608 - constants only
# PostgreSQL does not know the value of the inner LIMIT and expects a tenth of the rows, so it prefers the index in the
# order of the queue. With a constant that is not below the number of jobs that it expects, it would read and sort all
# jobs. CASE makes it hash the requirements instead of comparing each job with all of them.
_FIRST_RUNNABLE_JOBS = f"""
    SELECT j.* FROM (
        SELECT j.id, j.priority, j.passed_over_at, j.created_at, j.requirement_id, j.avoid_node, j.avoid_until
        FROM jobs j WHERE j.tenant_id = {{tenant_id}} AND j.state = 'queued' AND NOT j.on_hold
        ORDER BY j.priority DESC, j.id LIMIT (SELECT {FIRST_JOBS})
    ) j
    WHERE CASE WHEN j.requirement_id IN (SELECT unnest(CAST(:requirements AS bigint[]))) THEN {_MAY_RUN_HERE} END
    ORDER BY j.priority DESC, j.id LIMIT {{limit}}
"""  # noqa: S608 - constants only
_IS_RUNNABLE = "w.requirement_id = ANY(CAST(:requirements AS bigint[]))"
_HAS_JOB = f"""(
    SELECT true FROM waiting_requirements w
    WHERE w.tenant_id = t.id AND {_IS_RUNNABLE} AND (SELECT f.id FROM ({_FIRST_JOB}) f) IS NOT NULL LIMIT 1
)"""  # noqa: S608 - constants only
_FIND_AMONG_FIRST = Statement(f"""
SELECT t.id FROM (SELECT id, vtime FROM tenants WHERE ready ORDER BY vtime, id LIMIT {FIRST_TENANTS}) t
WHERE {_HAS_JOB} ORDER BY t.vtime, t.id LIMIT {MAX_CANDIDATES}
""")  # noqa: S608 - constants only
_MEASURE_SEARCH = Statement(f"""
SELECT (SELECT count(*) FROM (SELECT 1 FROM tenants WHERE ready LIMIT {FIRST_TENANTS + 1}) t) AS tenants,
    (SELECT count(*) FROM (
        SELECT 1 FROM waiting_requirements w WHERE {_IS_RUNNABLE} LIMIT {MAX_PAIRS_TO_HASH + 1}
    ) w) AS pairs
""")  # noqa: S608 - constants only
_FIND_BY_REQUIREMENT = Statement(f"""
SELECT t.id FROM (
    SELECT t.id, t.vtime
    FROM (SELECT DISTINCT w.tenant_id FROM waiting_requirements w WHERE {_IS_RUNNABLE} OFFSET 0) w
    CROSS JOIN LATERAL (SELECT t.id, t.vtime FROM tenants t WHERE t.id = w.tenant_id AND t.ready OFFSET 0) t
    ORDER BY t.vtime, t.id OFFSET 0
) t
WHERE {_HAS_JOB} ORDER BY t.vtime, t.id LIMIT {MAX_CANDIDATES}
""")  # noqa: S608 - constants only
_AMONG_ALL = f"""
SELECT t.id FROM tenants t WHERE t.ready AND CASE WHEN t.id IN ({{served}}) THEN {_HAS_JOB} END
ORDER BY t.vtime, t.id LIMIT {MAX_CANDIDATES}
"""  # noqa: S608 - constants only
_SERVED = f"FROM waiting_requirements w WHERE {_IS_RUNNABLE}"
# Removing duplicates takes longer than hashing them, but the hash table must fit into work_mem.
_FIND_AMONG_ALL = Statement(_AMONG_ALL.format(served=f"SELECT w.tenant_id {_SERVED}"))
_FIND_AMONG_ALL_DISTINCT = Statement(
    f"WITH served AS MATERIALIZED (SELECT DISTINCT w.tenant_id {_SERVED})"  # noqa: S608 - constants only
    + _AMONG_ALL.format(served="SELECT served.tenant_id FROM served")
)
_LOCK_TENANT_SQL = """
SELECT id, tier, vtime, weight, now() AS now FROM tenants WHERE id = ANY(CAST(:ids AS uuid[])) AND ready
ORDER BY vtime, id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_LOCK_TENANT = Statement(_LOCK_TENANT_SQL)
_LOCK_BEST = """
SELECT j.id, j.tenant_id, j.state, j.attempt, j.seq, j.images, j.usage_day, j.on_hold, j.endpoint,
    j.fail_without_outputs, j.request_id, j.created_at, j.run_within_s, j.requirement_id,
    g.graph, g.inputs, g.extra_data
FROM ({best}) best JOIN jobs j ON j.id = best.id JOIN graphs g ON g.job_id = j.id
WHERE j.state = 'queued' AND NOT j.on_hold FOR UPDATE OF j SKIP LOCKED
"""
# coalesce() runs the second query only if the first finds nothing.
_LOCK_FIRST_JOB = Statement(
    _LOCK_BEST.format(
        best=f"""
    SELECT coalesce((
        SELECT j.id FROM ({_FIRST_RUNNABLE_JOBS.format(tenant_id=":tenant_id", limit=1)}) j
    ), (
        SELECT f.id FROM waiting_requirements w CROSS JOIN LATERAL ({_FIRST_JOB}) f
        WHERE w.tenant_id = :tenant_id AND {_IS_RUNNABLE} ORDER BY f.priority DESC, f.id LIMIT 1
    )) AS id
"""  # noqa: S608 - constants only
    )
)
_PASSED_OVER = """
    coalesce(extract(epoch FROM now() - {job}.passed_over_at), 0)::float AS {prefix}passed_over_s,
    coalesce(extract(epoch FROM {job}.passed_over_at - {job}.created_at), 0)::float AS {prefix}waited_s
"""
# In one statement, so that a claim that chooses a job takes no more round trips than one that need not. Candidates
# are read before the lock; the locking statement rechecks that the chosen one is queued. The last branch of the union
# runs only if there are no first jobs.
_LOCK_TENANT_AND_LIST = Statement(f"""
WITH t AS MATERIALIZED ({_LOCK_TENANT_SQL}),
first AS MATERIALIZED (
    SELECT j.* FROM t CROSS JOIN LATERAL ({_FIRST_RUNNABLE_JOBS.format(tenant_id="t.id", limit=FIRST_RUNNABLE)}) j
),
found AS MATERIALIZED (
    SELECT f.id, f.priority, f.passed_over_at, f.created_at, f.requirement_id FROM first f
    UNION ALL
    SELECT f.*, w.requirement_id
    FROM t JOIN waiting_requirements w ON w.tenant_id = t.id CROSS JOIN LATERAL ({_FIRST_JOB}) f
    WHERE w.requirement_id = ANY(CAST(:preferred AS bigint[]))
    UNION ALL (
        SELECT f.*, w.requirement_id
        FROM t JOIN waiting_requirements w ON w.tenant_id = t.id CROSS JOIN LATERAL ({_FIRST_JOB}) f
        WHERE {_IS_RUNNABLE} AND (SELECT true FROM first LIMIT 1) IS NULL
        ORDER BY f.priority DESC, f.id LIMIT 1
    )
)
SELECT t.*, f.id AS job_id, f.requirement_id, f.priority, {_PASSED_OVER.format(job="f", prefix="")}
FROM t LEFT JOIN found f ON true ORDER BY f.priority DESC, f.id
""")  # noqa: S608 - constants only
_LIST_WARM_TENANTS = Statement(f"""
SELECT t.id, t.vtime, t.weight, warm.priority AS warm_priority, first.priority AS first_priority,
    {_PASSED_OVER.format(job="first", prefix="first_")}
FROM (
    SELECT id, vtime, weight FROM tenants WHERE ready AND vtime <= CAST(:until AS float)
    ORDER BY vtime, id LIMIT {FIRST_TENANTS}
) t
CROSS JOIN LATERAL (
    SELECT f.priority FROM waiting_requirements w CROSS JOIN LATERAL ({_FIRST_JOB}) f
    WHERE w.tenant_id = t.id AND {_IS_RUNNABLE} ORDER BY f.priority DESC LIMIT 1
) warm
CROSS JOIN LATERAL (
    SELECT j.priority, j.passed_over_at, j.created_at FROM jobs j
    WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold ORDER BY j.priority DESC, j.id LIMIT 1
) first
""")  # noqa: S608 - constants only
# Marks the job that is passed over unless another transaction locks it, perhaps one that waits for a lock of this one.
_LOCK_JOB = Statement(f"""
WITH marked AS (
    UPDATE jobs SET passed_over_at = now() WHERE id = (
        SELECT j.id FROM jobs j
        WHERE j.id = CAST(:passed_over AS uuid) AND j.state = 'queued' AND j.passed_over_at IS NULL
        FOR UPDATE SKIP LOCKED
    )
)
{_LOCK_BEST.format(best="SELECT CAST(:job_id AS uuid) AS id")}
""")  # noqa: S608 - constants only
_LIST_AVOIDED_REQUIREMENTS = Statement("""
SELECT DISTINCT requirement_id FROM jobs
WHERE avoid_node = :node AND state = 'queued' AND NOT on_hold
    AND requirement_id = ANY(CAST(:requirements AS bigint[]))
""")


async def read_claiming_nodes(connection: Connection, nodes: Sequence[str]) -> dict[str, ClaimingNode]:
    """Read what decides whether each of these nodes may claim a job. Takes no lock."""
    rows = await _READ_NODES.fetch_all(connection, nodes=list(nodes))
    return {row["node"]: ClaimingNode(row["digest"], row["has_attempt"], to_gib(row["gpu_bytes"])) for row in rows}


async def list_catalog_digests(connection: Connection, nodes: Sequence[str]) -> dict[str, str | None]:
    """List the digests of the catalogs of nodes by name, without unknown and cordoned nodes."""
    return {row["name"]: row["catalog_digest"] for row in await _LIST_DIGESTS.fetch_all(connection, nodes=list(nodes))}


async def list_waiting_requirements(connection: Connection) -> list[int]:
    """List the ids of the requirements that queued jobs have."""
    return [row["requirement_id"] for row in await _LIST_REQUIREMENTS.fetch_all(connection)]


async def find_tenants_with_jobs(
    connection: Connection, requirements: Sequence[int], *, node: str | None
) -> list[UUID]:
    """Find the first ``MAX_CANDIDATES`` ready tenants in fair order that have a job for a node. Takes no lock.

    Args:
        requirements: ids of the requirements that the node meets, without those that no queued job has.
        node: skip jobs that must avoid this node; None skips none.
    """
    parameters = {"requirements": list(requirements), "node": node or ""}
    found = await _FIND_AMONG_FIRST.fetch_all(connection, **parameters)
    if not found:
        size = await _MEASURE_SEARCH.fetch_first(connection, **parameters)
        assert size is not None  # noqa: S101 - it selects from no table
        if size["tenants"] > FIRST_TENANTS:
            found = await _choose_tenant_query(size["pairs"]).fetch_all(connection, **parameters)
    return [row["id"] for row in found]


def _choose_tenant_query(pairs: int) -> Statement:
    """Choose how all ready tenants are searched.

    Args:
        pairs: number of pairs of tenant and runnable requirement, at most ``MAX_PAIRS_TO_HASH`` + 1.
    """
    if pairs <= MAX_PAIRS_TO_LOOK_UP:
        return _FIND_BY_REQUIREMENT
    return _FIND_AMONG_ALL if pairs <= MAX_PAIRS_TO_HASH else _FIND_AMONG_ALL_DISTINCT


async def lock_next_tenant(connection: Connection, tenant_ids: Sequence[UUID]) -> LockedTenant | None:
    """Lock the tenant with the least ``vtime`` of these.

    Skips tenants that another transaction has locked or that are no longer ready; returns None if no other is left.
    """
    row = await _LOCK_TENANT.fetch_first(connection, ids=list(tenant_ids))
    return LockedTenant(**row) if row else None


async def lock_first_job(
    connection: Connection, tenant: LockedTenant, requirements: Sequence[int], *, node: str | None
) -> ClaimableJob | None:
    """Lock the tenant's first job with one of these requirements: highest priority first, then oldest.

    Args:
        tenant: its lock must be held.
        requirements, node: as in ``find_tenants_with_jobs``.
    """
    parameters = {"tenant_id": tenant.id, "requirements": list(requirements), "node": node or ""}
    return _build_claimable_job(await _LOCK_FIRST_JOB.fetch_first(connection, **parameters), tenant)


async def lock_next_tenant_and_list_jobs(
    connection: Connection, tenant_ids: Sequence[UUID], warmth: Mapping[int, Warmth], *, node: str | None
) -> tuple[LockedTenant | None, list[FirstJob]]:
    """Lock a tenant as ``lock_next_tenant`` does, and list its first job of each warmth.

    The first job of all is exact. The first job of a warmth may be missing if it is not among the first
    ``FIRST_RUNNABLE`` runnable jobs and its requirement is not among the ``MAX_PREFERRED`` warmest. Of equally warm
    requirements, the last ones in ``warmth`` are used.

    Args:
        warmth: warmth of each requirement that the node meets and that queued jobs have.
        node: as in ``find_tenants_with_jobs``.
    """
    coldest = max(warmth.values())
    warmer = [requirement for requirement in reversed([*warmth]) if warmth[requirement] < coldest]
    warmer.sort(key=warmth.__getitem__)
    rows = await _LOCK_TENANT_AND_LIST.fetch_all(
        connection,
        ids=list(tenant_ids),
        requirements=[*warmth],
        preferred=warmer[:MAX_PREFERRED],
        node=node or "",
    )
    tenant = LockedTenant(**{name: rows[0][name] for name in LockedTenant._fields}) if rows else None
    first: dict[Warmth, FirstJob] = {}
    for row in rows:
        if row["job_id"] is None:
            continue
        job_warmth = warmth[row["requirement_id"]]
        if job_warmth not in first:
            first[job_warmth] = FirstJob(
                row["job_id"], row["priority"], job_warmth, row["passed_over_s"], row["waited_s"]
            )
    return tenant, [*first.values()]


async def lock_chosen_job(
    connection: Connection, tenant: LockedTenant, job_id: UUID, *, passed_over: UUID | None
) -> ClaimableJob | None:
    """Lock a queued job. None if it is no longer queued, or another transaction has locked it.

    Args:
        tenant: its lock must be held.
        passed_over: the job that was next in turn and is skipped in favour of this one. The time is recorded when it
            is skipped for the first time. None if this job was next.
    """
    row = await _LOCK_JOB.fetch_first(connection, job_id=job_id, passed_over=passed_over)
    return _build_claimable_job(row, tenant)


async def list_tenants_with_warm_jobs(
    connection: Connection, requirements: Sequence[int], *, node: str | None, until: float
) -> list[TenantWithWarmJob]:
    """List the first ``FIRST_TENANTS`` ready tenants in fair order that have a job with one of these requirements.

    Takes no lock.

    Args:
        requirements: requirements whose jobs are warm on the node. Only the last ``MAX_WARM`` are used.
        node: as in ``find_tenants_with_jobs``.
        until: maximum ``vtime`` of the tenants.
    """
    rows = await _LIST_WARM_TENANTS.fetch_all(
        connection, requirements=list(requirements[-MAX_WARM:]), node=node or "", until=until
    )
    return [
        TenantWithWarmJob(
            fair_share=TenantFairShare(row["id"], row["vtime"], row["weight"]),
            warm_priority=row["warm_priority"],
            first_priority=row["first_priority"],
            first_passed_over_s=row["first_passed_over_s"],
            first_waited_s=row["first_waited_s"],
        )
        for row in rows
    ]


async def list_avoided_requirements(connection: Connection, requirements: Sequence[int], *, node: str) -> list[int]:
    """List which of these requirements have a queued job that must avoid the node for now."""
    rows = await _LIST_AVOIDED_REQUIREMENTS.fetch_all(connection, requirements=list(requirements), node=node)
    return [row["requirement_id"] for row in rows]


def _build_claimable_job(row: Row | None, tenant: LockedTenant) -> ClaimableJob | None:
    if row is None:
        return None
    fields = {name: row[name] for name in LockedJob.__slots__ if name != "tier"}
    return ClaimableJob(
        job=LockedJob(**{**fields, "state": JobState(row["state"]), "tier": tenant.tier}),
        requirement_id=row["requirement_id"],
        graph=row["graph"],
        inputs=tuple(row["inputs"]),
        extra_data=row["extra_data"],
        run_within_s=row["run_within_s"],
        now=tenant.now,
    )
