"""Whether jobs are accepted: decided one after another on what one version of their tenants' rows says."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import IdempotencyKeyReused, SubmitJob
from contracts.scheduler.usage import GpuSecondsExceeded, QueueFull, Quota, QuotaExceeded
from contracts.wire.errors import Refusal
from scheduler.domain.job import JobSnapshot
from scheduler.domain.quota import build_quota, find_next_midnight
from scheduler.domain.waiting import TenantFacts

QUEUE_RETRY_S = 5  # a place in the queue may be free by then


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A submit that has not been decided yet.

    Attributes:
        graph: as it is to be written.
        requirement_id: of what a node must have to run the job.
        images: that it will make.
        fingerprint: of its workflow.
        refusal: why no node can run it today. A submit that was accepted before is replayed nevertheless.
        nodes_online: whether any node is online: without one, nobody knows when a queue gets shorter.
        request_id: of the request that submits the job.
        deadline: by ``time.monotonic()``; None if it may be decided at any time.
    """

    tenant_id: UUID
    command: SubmitJob
    graph: str = ""
    requirement_id: int = 0
    images: int = 0
    refusal: Refusal | None = None
    nodes_online: bool = True
    request_id: str = ""
    deadline: float | None = None
    fingerprint: int | None = None

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of this submit in the log."""
        job_id, tenant_id = str(self.command.job_id), str(self.tenant_id)
        return {"job_id": job_id, "tenant_id": tenant_id, "images": self.images, "request_id": self.request_id}


@dataclass(frozen=True, slots=True)
class TenantAllowance:
    """What a tenant may use and has used, by one version of its row: true until that changes or the day does.

    Attributes:
        version: of the row.
        images_today: reserved or made today, by all tenants of its quota group where it has one.
        gpu_seconds_today: used today by attempts that have ended.
        lowest_priority: of its jobs that wait; None where none does.
        now: when it was read, by the database's clock, which alone counts.
    """

    id: UUID
    version: int
    is_active: bool
    images_per_day: int | None
    queue_cap: int | None
    queued: int
    images_today: int
    lowest_priority: int | None
    now: datetime
    gpu_seconds_per_day: float | None = None
    gpu_seconds_today: float = 0.0
    quota_group: UUID | None = None

    @property
    def today(self) -> date:
        """The UTC day whose quota counts."""
        return self.now.date()


class InsertedJob(NamedTuple):
    """What only the database knows of a job as it writes it.

    Attributes:
        behind: queued jobs of its tenant that it overtakes.
        now: the transaction's time.
        tenant: as it is from now on.
    """

    behind: int
    now: datetime
    tenant: TenantFacts


class AcceptedJob(NamedTuple):
    """A new job, to be written.

    Attributes:
        ahead: jobs of its tenant that wait, but for those that it overtakes and that were there before its group.
        overtakes: whether there are any of these; they are counted only then.
    """

    candidate: Candidate
    ahead: int
    overtakes: bool
    quota: Quota

    @property
    def job_id(self) -> UUID:
        """Its own."""
        return self.candidate.command.job_id

    def to_snapshot(self, written: InsertedJob) -> JobSnapshot:
        """Return the job as reading it back would show it."""
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
            created_at=written.now,
            started_at=None,
            completed_at=None,
            now=written.now,
            outputs=(),
            error=None,
            model=command.model,
            seed=command.seed,
            queue_position=self.ahead - written.behind + 1,
            requirement_id=self.candidate.requirement_id,
            queued_at=written.now,
            retry_of=command.retry_of,
            seeds=command.seeds,
            fingerprint=self.candidate.fingerprint,
        )


@dataclass(frozen=True, slots=True)
class ReplayedJob:
    """The same request was accepted before; the answer is the existing job."""

    job_id: UUID
    quota: Quota


Decision = AcceptedJob | ReplayedJob | Refusal
Earlier = tuple[UUID, str]
"""Id and request hash of the existing job with the id or idempotency key of a submit."""


class DailyImageUse:
    """The images of today that one tenant uses, or the tenants of one quota group together."""

    def __init__(self, used: int) -> None:
        self.used = used


class Ledger:
    """What a tenant has left while a group of its submits is decided. Sound as long as its account is true.

    Args:
        images: that its quota group shares; its own otherwise.
    """

    def __init__(self, account: TenantAllowance, images: DailyImageUse | None = None) -> None:
        self.account = account
        self._images = images or DailyImageUse(account.images_today)
        self._priorities: list[int] = []  # of what was accepted
        self._jobs: dict[UUID | str, Earlier] = {}  # the same by id, and by idempotency key

    def decide(self, candidate: Candidate, earlier: Earlier | None = None) -> Decision:
        """Return the verdict on one submit; what it takes is gone for the next one."""
        command = candidate.command
        key = command.idempotency_key
        earlier = earlier or self._jobs.get(command.job_id) or (self._jobs.get(key) if key is not None else None)
        if earlier is not None:
            job_id, request_hash = earlier
            return (
                ReplayedJob(job_id, self._build_quota())
                if request_hash == command.request_hash
                else IdempotencyKeyReused()
            )
        refusal = candidate.refusal or self.find_refusal(candidate)
        if refusal is not None:
            return refusal
        ahead = self.account.queued + sum(map(command.priority.__le__, self._priorities))
        lowest = self.account.lowest_priority
        self._reserve(candidate)
        return AcceptedJob(candidate, ahead, lowest is not None and lowest < command.priority, self._build_quota())

    def _reserve(self, candidate: Candidate) -> None:
        command = candidate.command
        self._images.used += candidate.images
        self._priorities.append(command.priority)
        self._jobs[command.job_id] = job = (command.job_id, command.request_hash)
        if command.idempotency_key is not None:
            self._jobs[command.idempotency_key] = job

    def find_refusal(self, candidate: Candidate) -> Refusal | None:
        """Why the tenant's limits do not allow one more job, if they do not."""
        account, images = self.account, candidate.images
        if not account.is_active:
            return UnknownTenant()
        wait_s = (find_next_midnight(account.now) - account.now).total_seconds()
        limit, used = account.images_per_day, self._images.used
        if limit is not None and images and used + images > limit:
            advice = f"Make at most {limit} in one job" if images > limit else "Make fewer, or wait until 00:00 UTC"
            left = max(0, limit - used)
            return QuotaExceeded(limit=limit, left=left, images=images, advice=advice, retry_after_s=wait_s)
        seconds = account.gpu_seconds_per_day
        if seconds is not None and account.gpu_seconds_today >= seconds:
            return GpuSecondsExceeded(limit=f"{seconds:g}", retry_after_s=wait_s)
        if account.queue_cap is not None and account.queued + len(self._priorities) >= account.queue_cap:
            return QueueFull(cap=account.queue_cap, retry_after_s=QUEUE_RETRY_S if candidate.nodes_online else None)
        return None

    def _build_quota(self) -> Quota:
        return build_quota(limit=self.account.images_per_day, used=self._images.used, now=self.account.now)
