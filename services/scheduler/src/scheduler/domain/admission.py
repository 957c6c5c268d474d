"""Decides on a group of submissions one by one, against a single snapshot of their tenants' limits and usage."""

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

QUEUE_RETRY_S = 5  # by then a place in the queue may be free


@dataclass(frozen=True, slots=True, eq=False)
class PendingSubmission:
    """A submission that has not been accepted or refused yet.

    Attributes:
        graph: the graph to be stored, as JSON text.
        requirement_id: id of the requirement that a node must meet to run the job.
        images: number of images to reserve.
        refusal: why its check failed; None if it passed. Ignored if the submission was accepted before.
        nodes_online: whether any node is online. If not, it is unknown when the queue will get shorter.
        request_id: id of the request that submits the job.
        deadline: time by ``time.monotonic()`` after which it is no longer decided; None if there is none.
        fingerprint: fingerprint of its workflow.
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
        """Fields of log lines about this submission."""
        job_id, tenant_id = str(self.command.job_id), str(self.tenant_id)
        return {"job_id": job_id, "tenant_id": tenant_id, "images": self.images, "request_id": self.request_id}


@dataclass(frozen=True, slots=True)
class TenantAllowance:
    """The limits and the usage of a tenant. Valid until its row or the UTC day changes.

    Attributes:
        version: version of the tenant's row.
        images_today: images reserved or made today, by all tenants of its quota group if it has one.
        lowest_priority: lowest priority of its queued jobs; None if it has none.
        now: when this was read, by the database clock.
        gpu_seconds_today: GPU-seconds used today by attempts that have ended.
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
        """The UTC day whose quota applies."""
        return self.now.date()


class InsertedJob(NamedTuple):
    """What the database returns when it inserts a job.

    Attributes:
        jobs_behind: queued jobs of its tenant that it overtakes.
        now: the transaction's time.
        tenant: its tenant after the insertion.
    """

    jobs_behind: int
    now: datetime
    tenant: TenantFacts


class AcceptedJob(NamedTuple):
    """A new job to insert.

    Attributes:
        jobs_ahead: number of queued jobs of its tenant. Jobs of its group are counted only if it does not overtake
            them, all earlier ones are counted. The insertion returns how many of the earlier ones it overtakes.
        overtakes_jobs: whether it overtakes jobs from before its group; only then does the insertion count them.
    """

    submission: PendingSubmission
    jobs_ahead: int
    overtakes_jobs: bool
    quota: Quota

    @property
    def job_id(self) -> UUID:
        return self.submission.command.job_id

    def to_snapshot(self, inserted: InsertedJob) -> JobSnapshot:
        """Return the job as it would be read from the database."""
        command = self.submission.command
        return JobSnapshot(
            id=command.job_id,
            tenant_id=self.submission.tenant_id,
            state=JobState.QUEUED,
            workflow=command.workflow,
            priority=command.priority,
            labels=command.labels,
            attempt=0,
            progress=0.0,
            images=self.submission.images,
            seq=1,
            created_at=inserted.now,
            started_at=None,
            completed_at=None,
            now=inserted.now,
            outputs=(),
            error=None,
            model=command.model,
            seed=command.seed,
            queue_position=self.jobs_ahead - inserted.jobs_behind + 1,
            requirement_id=self.submission.requirement_id,
            queued_at=inserted.now,
            retry_of=command.retry_of,
            seeds=command.seeds,
            fingerprint=self.submission.fingerprint,
        )


@dataclass(frozen=True, slots=True)
class ReplayedJob:
    """The same submission was accepted before; the reply is the existing job."""

    job_id: UUID
    quota: Quota


class ExistingJob(NamedTuple):
    """A job with the id or the idempotency key of a submission."""

    job_id: UUID
    request_hash: str


Decision = AcceptedJob | ReplayedJob | Refusal


class DailyImageUse:
    """The number of images that one tenant, or all tenants of one quota group, have used today."""

    def __init__(self, used: int) -> None:
        self.used = used


class TenantAdmission:
    """Accepts or refuses a group of submissions of one tenant. Valid as long as the allowance is.

    Args:
        images: images used today, shared by all tenants of the quota group; by default those of this tenant alone.
    """

    def __init__(self, allowance: TenantAllowance, images: DailyImageUse | None = None) -> None:
        self.allowance = allowance
        self._images = images or DailyImageUse(allowance.images_today)
        self._accepted_priorities: list[int] = []
        self._accepted_jobs: dict[UUID | str, ExistingJob] = {}  # by id, and by idempotency key

    def decide(self, submission: PendingSubmission, existing: ExistingJob | None = None) -> Decision:
        """Decide on the next submission. An accepted one uses up its part of the allowance."""
        command = submission.command
        key = command.idempotency_key
        existing = existing or self._accepted_jobs.get(command.job_id)
        if existing is None and key is not None:
            existing = self._accepted_jobs.get(key)
        if existing is not None:
            is_same = existing.request_hash == command.request_hash
            return ReplayedJob(existing.job_id, self._build_quota()) if is_same else IdempotencyKeyReused()
        refusal = submission.refusal or self.find_refusal(submission)
        if refusal is not None:
            return refusal
        accepted_ahead = sum(priority >= command.priority for priority in self._accepted_priorities)
        lowest = self.allowance.lowest_priority
        self._reserve(submission)
        return AcceptedJob(
            submission,
            jobs_ahead=self.allowance.queued + accepted_ahead,
            overtakes_jobs=lowest is not None and lowest < command.priority,
            quota=self._build_quota(),
        )

    def _reserve(self, submission: PendingSubmission) -> None:
        command = submission.command
        self._images.used += submission.images
        self._accepted_priorities.append(command.priority)
        job = ExistingJob(command.job_id, command.request_hash)
        self._accepted_jobs[command.job_id] = job
        if command.idempotency_key is not None:
            self._accepted_jobs[command.idempotency_key] = job

    def find_refusal(self, submission: PendingSubmission) -> Refusal | None:
        """Return why the tenant's limits do not allow this submission; None if they do."""
        allowance, images = self.allowance, submission.images
        if not allowance.is_active:
            return UnknownTenant()
        wait_s = (find_next_midnight(allowance.now) - allowance.now).total_seconds()
        limit, used = allowance.images_per_day, self._images.used
        if limit is not None and images and used + images > limit:
            advice = f"Make at most {limit} in one job" if images > limit else "Make fewer, or wait until 00:00 UTC"
            left = max(0, limit - used)
            return QuotaExceeded(limit=limit, left=left, images=images, advice=advice, retry_after_s=wait_s)
        seconds = allowance.gpu_seconds_per_day
        if seconds is not None and allowance.gpu_seconds_today >= seconds:
            return GpuSecondsExceeded(limit=f"{seconds:g}", retry_after_s=wait_s)
        if allowance.queue_cap is not None and allowance.queued + len(self._accepted_priorities) >= allowance.queue_cap:
            return QueueFull(cap=allowance.queue_cap, retry_after_s=QUEUE_RETRY_S if submission.nodes_online else None)
        return None

    def _build_quota(self) -> Quota:
        return build_quota(limit=self.allowance.images_per_day, used=self._images.used, now=self.allowance.now)
