"""What the API answers to admins about nodes, jobs and the audit log, and to everybody about what they used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from comfyfleet_client.results import Job, JobError


@dataclass(frozen=True, slots=True)
class Occupation:
    """What keeps a node from taking jobs. ``by``: foreign_prompt, own_prompt or dead_worker."""

    by: str
    since: datetime
    seconds: float
    prompt_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node, and the attempt that it holds. ``cordoned_at``: since when it gets no new work.

    ``occupied``: what keeps it from taking jobs; ``blocked``: for so long that somebody should look after it.
    """

    node: str
    online: bool
    seen_at: datetime
    cordoned_at: datetime | None = None
    drain_at: datetime | None = None
    job_id: str | None = None
    tenant_id: str | None = None
    attempt: int | None = None
    leased_at: datetime | None = None
    blocked: bool = False
    occupied: Occupation | None = None


@dataclass(frozen=True, slots=True)
class Nodes:
    """Every node, by name."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job. ``outcome`` is None while it lives."""

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    gpu_seconds: float | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetJob(Job):
    """Somebody's job. ``attempts`` are told where one job is asked for, not in lists."""

    tenant_id: str
    state: str
    workflow: str
    priority: int
    images: int
    node: str | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetJobPage:
    """Some jobs, newest first; ``next_cursor`` is None on the last page."""

    jobs: tuple[FleetJob, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[FleetJob, ...]:
        """What is on the page."""
        return self.jobs


@dataclass(frozen=True, slots=True)
class TierQueue:
    """What waits and runs in one tier."""

    tier: str
    waiting: int
    held: int
    running: int
    oldest_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """How many nodes there are, and how many are so."""

    total: int
    online: int
    working: int
    cordoned: int
    draining: int
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """What ended in the last so many minutes."""

    minutes: int
    jobs: int
    images: int
    jobs_per_minute: float
    images_per_minute: float


@dataclass(frozen=True, slots=True)
class Waits:
    """How long jobs of the last hour waited; None where there was none."""

    p50_seconds: float | None = None
    p95_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """How the fleet does. ``failures`` counts error codes of 24 hours; ``storage``: ``count, size_bytes`` by sort."""

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: Waits
    failures: dict[str, int] = field(default_factory=dict)
    storage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who (``actor_id``) did what (``action``) to whom (``subject_id``). ``hash`` covers it and the entry before."""

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
    """Some entries, newest first; ``next_cursor`` is None on the last page."""

    audit: tuple[AuditEntry, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[AuditEntry, ...]:
        """What is on the page."""
        return self.audit


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of an executor that can never be handled; ``excerpt`` is its beginning as text."""

    id: str
    at: datetime
    subject: str
    node: str
    code: str
    reason: str
    excerpt: str
    size_bytes: int
    request_id: str | None = None
    tenant_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Some dead letters, newest first; ``next_cursor`` is None on the last page."""

    dead_letters: tuple[DeadLetter, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[DeadLetter, ...]:
        """What is on the page."""
        return self.dead_letters


@dataclass(frozen=True, slots=True)
class EndpointUse:
    """Requests at one endpoint, and what the jobs have taken that these submitted."""

    requests: int
    images: int = 0
    gpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class UsageDay:
    """What was used on one UTC day (``YYYY-MM-DD``), and each endpoint's share of it."""

    day: str
    requests: int
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Days with any use, newest first."""

    usage: tuple[UsageDay, ...]
