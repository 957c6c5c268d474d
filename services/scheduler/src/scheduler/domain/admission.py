"""Whether jobs are accepted: decided one after another on what was read under their tenants' locks."""

from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from contracts.auth import UnknownTenant
from contracts.scheduler import JobState, KeyReused, QueueFull, Quota, QuotaExceeded, SubmitJob
from contracts.wire.errors import Refusal
from scheduler.domain.job import Standing
from scheduler.domain.quota import midnight, quota

QUEUE_RETRY_S = 5  # a place in the queue may be free by then


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A submit that waits for its verdict.

    Attributes:
        graph: as it is to be written.
        requirement_id: of what a node must have to run the job.
        images: that it will make.
        refusal: why no node can run it today. What was accepted once stays accepted all the same.
    """

    tenant_id: UUID
    command: SubmitJob
    graph: str = ""
    requirement_id: int = 0
    images: int = 0
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class LockedTenant:
    """A tenant under its lock. ``now`` is the transaction's time by the database's clock, which alone counts."""

    id: UUID
    is_active: bool
    images_per_day: int | None
    queue_cap: int | None
    queued: int
    now: datetime

    @property
    def today(self) -> date:
        """The UTC day whose quota counts."""
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides an admission, read under the tenant's lock.

    Attributes:
        images_today: reserved or made today.
        behind: queued jobs of the tenant that this one would overtake.
        earlier: id and request hash of the job that has this id or this idempotency key already.
    """

    images_today: int
    behind: int
    earlier: tuple[UUID, str] | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new job, to be written as it stands."""

    candidate: Candidate
    standing: Standing
    quota: Quota


@dataclass(frozen=True, slots=True)
class Replayed:
    """The decision that was made on this very request before; the job is to be read."""

    job_id: UUID
    quota: Quota


Verdict = Accepted | Replayed | Refusal


@dataclass(slots=True)
class Ledger:
    """What a tenant has left while a group of its submits is decided. Sound only under the tenant's lock."""

    tenant: LockedTenant
    images_today: int
    _accepted: list[SubmitJob] = field(default_factory=list)

    def decide(self, candidate: Candidate, facts: Facts) -> Verdict:
        """The verdict on one submit; what it takes is gone for the next one."""
        command = candidate.command
        earlier = facts.earlier or self._earlier(command)
        if earlier is not None:
            job_id, request_hash = earlier
            return Replayed(job_id, self._quota()) if request_hash == command.request_hash else KeyReused()
        refusal = candidate.refusal or self._refusal(candidate.images)
        if refusal is not None:
            return refusal
        ahead = self.tenant.queued - facts.behind + sum(job.priority >= command.priority for job in self._accepted)
        self._accepted.append(command)
        self.images_today += candidate.images
        return Accepted(candidate, _standing(candidate, self.tenant, position=ahead + 1), self._quota())

    def _earlier(self, command: SubmitJob) -> tuple[UUID, str] | None:
        key = command.idempotency_key
        for job in self._accepted:
            if job.job_id == command.job_id or (key is not None and job.idempotency_key == key):
                return job.job_id, job.request_hash
        return None

    def _refusal(self, images: int) -> Refusal | None:
        """Why the tenant's limits do not allow the job, if they do not."""
        tenant = self.tenant
        if not tenant.is_active:
            return UnknownTenant()
        limit = tenant.images_per_day
        if limit is not None and self.images_today + images > limit:
            left = max(0, limit - self.images_today)
            wait_s = (midnight(tenant.now) - tenant.now).total_seconds()
            return QuotaExceeded(limit=limit, left=left, images=images, retry_after_s=wait_s)
        if tenant.queue_cap is not None and tenant.queued + len(self._accepted) >= tenant.queue_cap:
            return QueueFull(cap=tenant.queue_cap, retry_after_s=QUEUE_RETRY_S)
        return None

    def _quota(self) -> Quota:
        return quota(limit=self.tenant.images_per_day, used=self.images_today, now=self.tenant.now)


def _standing(candidate: Candidate, tenant: LockedTenant, *, position: int) -> Standing:
    """The job that is about to be written, as reading it back would show it."""
    command = candidate.command
    return Standing(
        id=command.job_id,
        tenant_id=tenant.id,
        state=JobState.QUEUED,
        workflow=command.workflow,
        priority=command.priority,
        labels=command.labels,
        attempt=0,
        progress=0.0,
        images=candidate.images,
        seq=1,
        created_at=tenant.now,
        started_at=None,
        completed_at=None,
        now=tenant.now,
        outputs=(),
        error=None,
        model=command.model,
        seed=command.seed,
        queue_position=position,
        retry_of=command.retry_of,
    )
