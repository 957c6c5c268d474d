"""Results of admin calls about nodes, jobs and the audit log, and of usage calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from comfyfleet_client.results import Job, JobError


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What keeps a node from accepting jobs. ``by``: foreign_prompt, own_prompt, dead_worker, storage or journal."""

    by: str
    since: datetime
    seconds: float
    prompt_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node and its current attempt. ``cordoned_at``: since when it gets no new jobs.

    ``cordon_reason``: why the scheduler cordoned it by itself; None if an operator did.

    ``occupied``: what keeps it from accepting jobs; ``blocked``: whether that lasts so long that an operator should
    check the node.
    """

    node: str
    online: bool
    seen_at: datetime
    cordoned_at: datetime | None = None
    cordon_reason: str | None = None
    drain_at: datetime | None = None
    job_id: str | None = None
    tenant_id: str | None = None
    attempt: int | None = None
    leased_at: datetime | None = None
    blocked: bool = False
    occupied: Occupancy | None = None


@dataclass(frozen=True, slots=True)
class Nodes:
    """Every node, by name."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to run a job. ``outcome`` is None while it runs."""

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    gpu_seconds: float | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetJob(Job):
    """A job of any user. ``attempts`` is present for single jobs, not in lists."""

    tenant_id: str
    state: str
    workflow: str
    priority: int
    images: int
    node: str | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetJobPage:
    """A page of jobs, newest first; ``next_cursor`` is None on the last page."""

    jobs: tuple[FleetJob, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[FleetJob, ...]:
        return self.jobs


@dataclass(frozen=True, slots=True)
class TierQueue:
    """Pending and running jobs of one tier."""

    tier: str
    waiting: int
    held: int
    running: int
    oldest_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """Number of nodes, in total and by state."""

    total: int
    online: int
    working: int
    cordoned: int
    draining: int
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """Jobs that ended within the last ``minutes``."""

    minutes: int
    jobs: int
    images: int
    jobs_per_minute: float
    images_per_minute: float


@dataclass(frozen=True, slots=True)
class WaitTimes:
    """Waiting times of the last hour's jobs; None without jobs."""

    p50_seconds: float | None = None
    p95_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class EtaAccuracy:
    """Accuracy of the estimates made at submission, for jobs that completed in the last 24 hours.

    ``within_p50`` and ``within_p90``: share of jobs that took no longer than these estimates. ``ratio_p50`` and
    ``ratio_p90``: percentiles of actual / estimated time.
    """

    jobs: int
    within_p50: float
    within_p90: float
    ratio_p50: float
    ratio_p90: float


@dataclass(frozen=True, slots=True)
class Eta:
    """Accuracy of the estimated time to the start and to the end of a job; None without jobs."""

    start: EtaAccuracy | None = None
    end: EtaAccuracy | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Fleet statistics.

    ``failures`` counts error codes of 24 hours; ``storage``: ``count`` and ``size_bytes`` by kind.
    """

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: WaitTimes
    failures: dict[str, int] = field(default_factory=dict)
    eta: Eta = field(default_factory=Eta)
    storage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who (``actor_id``) did what (``action``) to whom (``subject_id``). ``hash`` covers it and the previous entry."""

    id: int
    at: datetime
    action: str
    hash: str
    actor_id: str | None = None
    subject_id: str | None = None
    ip: str | None = None
    request_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of entries, newest first; ``next_cursor`` is None on the last page."""

    audit: tuple[AuditEntry, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[AuditEntry, ...]:
        return self.audit


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that ``service`` could not process; ``excerpt`` is its beginning as text.

    ``node`` sent it, or ``service`` read it from ``stream``. ``redrivable``: it can be processed again.
    """

    id: str
    at: datetime
    service: str
    subject: str
    code: str
    reason: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    redrivable: bool
    excerpt: str
    size_bytes: int
    request_id: str | None = None
    node: str | None = None
    stream: str | None = None
    consumer: str | None = None
    sequence: int | None = None
    tenant_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """A page of dead letters, newest first; ``next_cursor`` is None on the last page."""

    dead_letters: tuple[DeadLetter, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[DeadLetter, ...]:
        return self.dead_letters


@dataclass(frozen=True, slots=True)
class EndpointUsage:
    """Requests to one endpoint, and the images and GPU-seconds of the jobs that they submitted."""

    requests: int
    images: int = 0
    gpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class UsageDay:
    """Usage of one UTC day (``YYYY-MM-DD``), in total and by endpoint."""

    day: str
    requests: int
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUsage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Days with any usage, newest first."""

    usage: tuple[UsageDay, ...]
