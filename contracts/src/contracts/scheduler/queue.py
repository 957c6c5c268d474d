"""The queue by tenant, for operators."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.auth.tiers import Tier
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.scheduler.statistics import TierQueue
from contracts.scheduler.waiting import Waiting
from contracts.wire.model import StrictModel, TolerantModel


class QueueOrder(StrEnum):
    """Order of the tenants in a queue."""

    FAIR = "fair"  # as the scheduler serves them; tenants that cannot be served now come last
    QUEUED = "queued"  # most queued jobs first


class ReadQueue(StrictModel):
    """List tenants with waiting jobs.

    Attributes:
        tier, tenant_id: return only tenants of this tier, or only this tenant.
    """

    order: QueueOrder = QueueOrder.FAIR
    tier: Tier | None = None
    tenant_id: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class QueuedTenant(TolerantModel):
    """A tenant with waiting jobs.

    Attributes:
        weight: share of the fleet relative to other tenants.
        queued: waiting jobs, without held ones.
        held: waiting jobs that operators hold.
        max_running: limit of running jobs; None means unlimited.
        oldest_wait_s: age of its oldest queued job; None if all are held.
        position: place in the fair order, 1 is next; None if none of its jobs may start now, whatever node is free.
        first_job_id: the job that comes first; None if it has just left the queue.
        waiting: why the first job waits; None if it has just left the queue.
    """

    tenant_id: UUID
    tier: Tier
    weight: float
    queued: int
    held: int
    running: int
    max_running: int | None
    oldest_wait_s: float | None
    position: int | None
    first_job_id: UUID | None
    waiting: Waiting | None


class Queue(TolerantModel):
    """Waiting jobs by tier and by tenant, cached for some seconds. ``found`` counts all tenants that match."""

    at: datetime
    tiers: tuple[TierQueue, ...]
    found: int
    tenants: tuple[QueuedTenant, ...]


READ_QUEUE = declare_scheduler_rpc("queue", "read", ReadQueue, Queue, "An operator reads the queue by tenant.")

TOPICS = (READ_QUEUE,)
