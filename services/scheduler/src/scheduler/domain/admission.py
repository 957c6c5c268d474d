"""Decides whether submits are accepted, one after another, from the limits and usage of their tenants."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import IdempotencyKeyReused, SubmitJob
from contracts.scheduler.usage import GpuSecondsExceeded, QueueFull, Quota, QuotaExceeded
from contracts.wire.errors import Refusal
from scheduler.domain.job import JobSnapshot
from scheduler.domain.quota import build_quota, next_midnight

QUEUE_RETRY_S = 5  # retry time suggested when the queue is full


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A submit that has not been decided yet.

    Attributes:
        graph: the graph to store, as JSON text.
        requirement_id: id of the needs that a node must meet to run the job.
        images: images to reserve.
        refusal: why the workflow cannot be accepted now; a replay of an earlier accepted submit ignores it.
        nodes_online: whether a node is online; otherwise a full queue has no sensible retry time.
        request_id: id of the client's request, for the log.
    """

    tenant_id: UUID
    command: SubmitJob
    graph: str = ""
    requirement_id: int = 0
    images: int = 0
    refusal: Refusal | None = None
    nodes_online: bool = True
    request_id: str = ""

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of this submit in the log."""
        job_id, tenant = str(self.command.job_id), str(self.tenant_id)
        return {"job_id": job_id, "tenant": tenant, "images": self.images, "request_id": self.request_id}


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's limits and usage, true while its lock is held.

    Attributes:
        images_today: reserved or made today, by all tenants of its quota group if it has one.
        gpu_seconds_today: used today by attempts that have ended.
        now: time of the transaction that read it, by the database's clock.
    """

    id: UUID
    is_active: bool
    images_per_day: int | None
    queue_cap: int | None
    queued: int
    images_today: int
    now: datetime
    gpu_seconds_per_day: float | None = None
    gpu_seconds_today: float = 0.0
    quota_group: UUID | None = None


class Accepted(NamedTuple):
    """A new job, to be written.

    Attributes:
        queue_position: among its tenant's waiting jobs, from 1.
        now: time of the transaction.
    """

    candidate: Candidate
    queue_position: int
    quota: Quota
    now: datetime

    @property
    def job_id(self) -> UUID:
        return self.candidate.command.job_id

    def to_snapshot(self) -> JobSnapshot:
        """Build the snapshot that reading the new job from the database would return."""
        command = self.candidate.command
        return JobSnapshot(
            id=command.job_id,
            tenant_id=self.candidate.tenant_id,
            state=JobState.QUEUED,
            workflow=command.workflow,
            priority=command.priority,
            labels=command.labels,
            attempt=0,
            progress=0.0,
            images=self.candidate.images,
            seq=1,
            created_at=self.now,
            started_at=None,
            completed_at=None,
            now=self.now,
            outputs=(),
            error=None,
            model=command.model,
            seed=command.seed,
            queue_position=self.queue_position,
            requirement_id=self.candidate.requirement_id,
            queued_at=self.now,
            retry_of=command.retry_of,
            seeds=command.seeds,
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same request was accepted before; the answer is the existing job."""

    job_id: UUID
    quota: Quota


Decision = Accepted | Replayed | Refusal
Earlier = tuple[UUID, str]
"""Id and request hash of the existing job with the id or idempotency key of a submit."""


class DailyImages:
    """Images used today by one tenant, or by all tenants of one quota group."""

    def __init__(self, used: int) -> None:
        self.used = used


class Ledger:
    """Tracks what a tenant has left while a group of its submits is decided.

    Args:
        images: usage shared with the tenant's quota group; its own if None.
    """

    def __init__(self, account: Account, images: DailyImages | None = None) -> None:
        self.account = account
        self._images = images or DailyImages(account.images_today)
        self._priorities: list[int] = []  # of accepted submits
        self._jobs: dict[UUID | str, Earlier] = {}  # accepted submits, by job id and by idempotency key

    def decide(self, candidate: Candidate, earlier: Earlier | None = None, overtaken: int = 0) -> Decision:
        """Decide one submit. What it takes is no longer available to the next one.

        Args:
            earlier: the stored job that already has its id or its idempotency key.
            overtaken: stored waiting jobs of the tenant with a lower priority.
        """
        command = candidate.command
        key = command.idempotency_key
        earlier = earlier or self._jobs.get(command.job_id) or (self._jobs.get(key) if key is not None else None)
        if earlier is not None:
            job_id, request_hash = earlier
            return (
                Replayed(job_id, self._build_quota())
                if request_hash == command.request_hash
                else IdempotencyKeyReused()
            )
        refusal = candidate.refusal or self.find_refusal(candidate)
        if refusal is not None:
            return refusal
        ahead = self.account.queued - overtaken + sum(map(command.priority.__le__, self._priorities))
        self._reserve(candidate)
        return Accepted(candidate, ahead + 1, self._build_quota(), self.account.now)

    def _reserve(self, candidate: Candidate) -> None:
        command = candidate.command
        self._images.used += candidate.images
        self._priorities.append(command.priority)
        self._jobs[command.job_id] = job = (command.job_id, command.request_hash)
        if command.idempotency_key is not None:
            self._jobs[command.idempotency_key] = job

    def find_refusal(self, candidate: Candidate) -> Refusal | None:
        """Return the reached limit that refuses one more job; None if the tenant's limits allow it."""
        account, images = self.account, candidate.images
        if not account.is_active:
            return UnknownTenant()
        wait_s = (next_midnight(account.now) - account.now).total_seconds()
        limit, used = account.images_per_day, self._images.used
        if limit is not None and images and used + images > limit:
            return QuotaExceeded(limit=limit, left=max(0, limit - used), images=images, retry_after_s=wait_s)
        seconds = account.gpu_seconds_per_day
        if seconds is not None and account.gpu_seconds_today >= seconds:
            return GpuSecondsExceeded(limit=f"{seconds:g}", retry_after_s=wait_s)
        if account.queue_cap is not None and account.queued + len(self._priorities) >= account.queue_cap:
            return QueueFull(cap=account.queue_cap, retry_after_s=QUEUE_RETRY_S if candidate.nodes_online else None)
        return None

    def _build_quota(self) -> Quota:
        return build_quota(limit=self.account.images_per_day, used=self._images.used, now=self.account.now)
