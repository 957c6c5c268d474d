"""Response bodies for nodes, jobs of all users, statistics and the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.auth.audit import AuditEntry
from contracts.auth.tiers import Tier
from contracts.scheduler.heartbeats import OccupancyCause
from contracts.scheduler.jobs import Job, JobError, JobState
from contracts.scheduler.nodes import NodeState, NodeStatus
from contracts.scheduler.search import JobWithAttempts
from contracts.scheduler.statistics import EtaAccuracy, NodeCounts, Stats, TierQueue
from gateway.jobs.schemas import JobBody, build_job_body

_AT = "2026-11-23T09:00:00Z"
_JOB = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
_USER = "0199f2b0-1111-7a51-9d24-5a1be0c0ffee"
_NODE = {
    "node": "gpu-7", "online": True, "seen_at": _AT, "cordoned_at": _AT, "cordon_reason": None, "drain_at": None,
    "job_id": _JOB, "tenant_id": _USER, "attempt": 1, "leased_at": _AT, "blocked": False, "occupied": None,
    "state": "draining", "state_since": _AT,
    "running": {
        "job_id": _JOB, "tenant_id": _USER, "username": "ada", "attempt": 1, "workflow": "text-to-image",
        "started_at": _AT, "progress": 40.0, "graph_node": "5", "graph_node_class": "KSampler",
    },
    "models": ["CheckpointLoaderSimple.ckpt_name=sd15.safetensors"],
    "gpus": [{"name": "NVIDIA H200", "memory_total_bytes": 150_000_000_000, "memory_free_bytes": 90_000_000_000}],
    "comfyui_version": "0.33.0", "executor_version": "0.1.0", "jobs_last_hour": 118,
    "faults": [{
        "at": _AT, "job_id": _JOB, "attempt": 1, "outcome": "failed", "node_died": False, "code": "node.error",
        "message": "The node class KSampler failed.",
    }],
}  # fmt: skip


def _with_example(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class OccupancyBody(BaseModel):
    """What keeps a reachable node from taking jobs.

    Attributes:
        by: ``foreign_prompt``, a prompt of another client; ``own_prompt``, a prompt of an ended attempt (``job_id``)
            that does not stop; ``storage``, outputs that cannot be stored, because the artifact store is full or
            unavailable; ``journal``: the executor cannot write its journal, because the disk is full, read-only or
            broken; ``dead_worker``: ComfyUI runs nothing any more and has to be restarted.
        prompt_id: the id that the node gives the prompt, null if unknown.
        seconds: how long ago it was first seen.
    """

    by: OccupancyCause
    prompt_id: str | None
    job_id: UUID | None
    since: datetime
    seconds: float


class RunningJobBody(BaseModel):
    """What a node runs now, as of its last heartbeat.

    Attributes:
        username: null if it cannot be read now.
        progress: percent.
        graph_node: id of the node of the graph that runs, null if unknown.
    """

    job_id: UUID
    tenant_id: UUID
    username: str | None
    attempt: int
    workflow: str
    started_at: datetime
    progress: float
    graph_node: str | None
    graph_node_class: str | None


class GpuBody(BaseModel):
    """A GPU and its memory, as ComfyUI reports it about every 10 seconds."""

    name: str
    memory_total_bytes: int
    memory_free_bytes: int


class NodeFaultBody(BaseModel):
    """A failed attempt on a node.

    ``outcome``: ``failed`` if its workflow is the cause, ``node_fault`` if the node is. ``node_died``: the node stopped
    responding or stopped running the job.
    """

    at: datetime
    job_id: UUID
    attempt: int
    outcome: str
    node_died: bool
    code: str
    message: str


class NodeBody(BaseModel):
    """The state of a node, its running job, and its recent jobs and faults.

    Attributes:
        cordoned_at: since when it gets no new jobs; null if it is not cordoned.
        cordon_reason: why the scheduler cordoned it automatically; null if it did not.
        drain_at: when its attempt will be or was withdrawn; null if it is not drained.
        blocked: whether an operator should look at it: it has been occupied for too long, or its worker thread has
            died.
        occupied: what keeps it from taking jobs; null if nothing does.
        state: ``offline``, ``draining`` (its job will move to another node), ``cordoned`` (it gets no new jobs),
            ``blocked``, ``occupied``, ``busy`` or ``idle``; if several apply, the first of them.
        state_since: since when it has this state; null if unknown.
        models: model files that its last prompt loaded, as ``Class.input=file``, at most 20.
        gpus: its GPUs, as last reported.
        comfyui_version, executor_version: as last reported.
        jobs_last_hour: number of jobs that succeeded on it in the last hour, cached up to 10 s.
        faults: its newest failed attempts, newest first, at most 10 (1,000 for all nodes together), cached up to 10 s.
    """

    model_config = _with_example(**_NODE)

    node: str
    online: bool
    seen_at: datetime
    cordoned_at: datetime | None
    cordon_reason: str | None
    drain_at: datetime | None
    job_id: UUID | None
    tenant_id: UUID | None
    attempt: int | None
    leased_at: datetime | None
    blocked: bool
    occupied: OccupancyBody | None
    state: NodeState
    state_since: datetime | None
    running: RunningJobBody | None
    models: list[str]
    gpus: list[GpuBody]
    comfyui_version: str | None
    executor_version: str | None
    jobs_last_hour: int
    faults: list[NodeFaultBody]


class NodesBody(BaseModel):
    """All nodes by name, on one page."""

    nodes: list[NodeBody]
    next_cursor: None = None


class AdminJobBody(JobBody):
    """A job with fields for admins.

    ``node``: node of the newest attempt. ``images``: number of images reserved; after the job has ended, number
    produced.
    """

    tenant_id: UUID
    state: JobState
    priority: int
    images: int
    node: str | None


class AdminJobsBody(BaseModel):
    """A page of jobs of all users, newest first. ``next_cursor`` is null on the last page."""

    jobs: list[AdminJobBody]
    next_cursor: str | None


class AttemptBody(BaseModel):
    """An attempt.

    ``outcome``: null while it runs; else succeeded, failed, node_fault, cancelled, withdrawn (by an operator)
    or released (its executor was stopped).
    """

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None
    outcome: str | None
    gpu_seconds: float | None
    error: JobError | None


class InspectedJobBody(AdminJobBody):
    """A job with its attempts, oldest first."""

    attempts: list[AttemptBody]


class TierQueueBody(BaseModel):
    """Waiting and running jobs of one tier. Held jobs are counted separately."""

    tier: Tier
    waiting: int
    held: int
    running: int
    oldest_wait_seconds: float | None


class ThroughputBody(BaseModel):
    """Jobs that ended in the last ``minutes``, with any outcome, and the images they made."""

    minutes: int
    jobs: int
    images: int
    jobs_per_minute: float
    images_per_minute: float


class WaitsBody(BaseModel):
    """How long the jobs that ended in the last hour waited for a node; null if there are none."""

    p50_seconds: float | None
    p95_seconds: float | None


class EtaAccuracyBody(BaseModel):
    """Accuracy of the estimates made at submission, for a sample of jobs that completed in the last 24 hours.

    Attributes:
        within_p50, within_p90: share of the jobs that took no longer than the estimated median (0.5 is ideal), and than
            the estimated 90th percentile (0.9 is ideal).
        ratio_p50, ratio_p90: percentiles of actual / estimated median time, with a second added to both times.
    """

    jobs: int
    within_p50: float
    within_p90: float
    ratio_p50: float
    ratio_p90: float


class EtaBody(BaseModel):
    """Accuracy of the estimated time to the start and to the end of a job; null if there are no such jobs."""

    start: EtaAccuracyBody | None
    end: EtaAccuracyBody | None


class StoredBody(BaseModel):
    """Number and total size of stored files."""

    count: int
    size_bytes: int


class StorageBody(BaseModel):
    """Storage totals, cached for a minute."""

    artifacts: StoredBody
    uploads: StoredBody


class StatsBody(BaseModel):
    """Statistics of the fleet. ``failures``: number of jobs that ended with each error code in the last 24 hours."""

    model_config = _with_example(
        at=_AT,
        queue=[{"tier": "free", "waiting": 3, "held": 0, "running": 1, "oldest_wait_seconds": 12.5}],
        nodes={"total": 2, "online": 2, "working": 1, "cordoned": 0, "draining": 0, "blocked": 0},
        throughput=[{"minutes": 5, "jobs": 30, "images": 60, "jobs_per_minute": 6.0, "images_per_minute": 12.0}],
        waits={"p50_seconds": 0.8, "p95_seconds": 4.2},
        failures={"node.lost": 1},
        eta={
            "start": {"jobs": 120, "within_p50": 0.55, "within_p90": 0.93, "ratio_p50": 0.92, "ratio_p90": 1.33},
            "end": {"jobs": 120, "within_p50": 0.52, "within_p90": 0.91, "ratio_p50": 0.92, "ratio_p90": 1.33},
        },
        storage={
            "artifacts": {"count": 120, "size_bytes": 88_000_000},
            "uploads": {"count": 3, "size_bytes": 4_100_000},
        },
    )

    at: datetime
    queue: list[TierQueueBody]
    nodes: NodeCounts
    throughput: list[ThroughputBody]
    waits: WaitsBody
    failures: dict[str, int]
    eta: EtaBody
    storage: StorageBody


class AuditEntryBody(BaseModel):
    """An entry: ``actor_id`` did ``action`` to ``subject_id``, from ``ip`` and in the request ``request_id``.

    ``id`` counts without gaps; ``hash`` covers this entry and the hash of the previous one.
    """

    model_config = _with_example(
        id=7, at=_AT, action="node.drain", actor_id=_USER, subject_id=None, ip="192.0.2.7",
        request_id="0199f2b07c3e7a519d245a1be0c0ffee", detail={"node": "gpu-7"}, hash="9f86d081884c7d65…",
    )  # fmt: skip

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]
    hash: str


class AuditBody(BaseModel):
    """A page of the audit log, newest first. ``next_cursor`` is null on the last page."""

    audit: list[AuditEntryBody]
    next_cursor: str | None


def build_node_body(node: NodeStatus, usernames: Mapping[UUID, str]) -> NodeBody:
    occupied = None
    if node.occupied is not None:
        seconds = max((node.seen_at - node.occupied.since).total_seconds(), 0.0)
        occupied = OccupancyBody(**node.occupied.model_dump(), seconds=round(seconds, 1))
    running, system = node.running, node.system
    return NodeBody(
        **node.model_dump(exclude={"occupied", "state", "running", "system"}),
        occupied=occupied,
        state=node.state or (NodeState.IDLE if node.online else NodeState.OFFLINE),
        running=RunningJobBody(**running.model_dump(), username=usernames.get(running.tenant_id)) if running else None,
        gpus=[GpuBody(**gpu.model_dump()) for gpu in system.gpus] if system else [],
        comfyui_version=system.comfyui_version if system else None,
        executor_version=system.executor_version if system else None,
    )


def build_admin_job_body(job: Job, node: str | None, public_url: str) -> AdminJobBody:
    return AdminJobBody(**_build_job_fields(job, node, public_url))


def build_inspected_job_body(found: JobWithAttempts, public_url: str) -> InspectedJobBody:
    node = found.attempts[-1].node if found.attempts else None
    attempts = [AttemptBody(**attempt.model_dump()) for attempt in found.attempts]
    return InspectedJobBody(**_build_job_fields(found.job, node, public_url), attempts=attempts)


def build_tier_queue_body(queue: TierQueue) -> TierQueueBody:
    return TierQueueBody(**queue.model_dump(exclude={"oldest_wait_s"}), oldest_wait_seconds=queue.oldest_wait_s)


def build_stats_body(stats: Stats, storage: StorageBody) -> StatsBody:
    return StatsBody(
        at=stats.at,
        queue=[build_tier_queue_body(queue) for queue in stats.queue],
        nodes=stats.nodes,
        throughput=[
            ThroughputBody(
                **window.model_dump(),
                jobs_per_minute=round(window.jobs / window.minutes, 3),
                images_per_minute=round(window.images / window.minutes, 3),
            )
            for window in stats.throughput
        ],
        waits=WaitsBody(p50_seconds=stats.waits.p50_s, p95_seconds=stats.waits.p95_s),
        failures=stats.failures,
        eta=EtaBody(start=_build_eta_accuracy_body(stats.eta_start), end=_build_eta_accuracy_body(stats.eta_end)),
        storage=storage,
    )


def _build_eta_accuracy_body(accuracy: EtaAccuracy | None) -> EtaAccuracyBody | None:
    return EtaAccuracyBody(**accuracy.model_dump()) if accuracy else None


def build_audit_entry_body(entry: AuditEntry) -> AuditEntryBody:
    return AuditEntryBody(**entry.model_dump())


def _build_job_fields(job: Job, node: str | None, public_url: str) -> dict[str, Any]:
    more = job.model_dump(include={"tenant_id", "state", "priority", "images"})
    return build_job_body(job, public_url).model_dump() | more | {"node": node}
