"""What a tenant uses: now, and by day."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel


class Quota(TolerantModel):
    """Today's images of a tenant (UTC). ``limit`` None means unlimited."""

    limit: int | None
    used: int
    resets_at: datetime


class ReadTenantUsage(StrictModel):
    """Ask what the tenant in the subject uses now."""


class TenantUsage(TolerantModel):
    """What a tenant uses: today's images (reserved ones too), jobs that run and jobs that wait."""

    quota: Quota
    running: int
    queued: int


class QuotaExceeded(Refusal):
    """{left} of today's {limit} images are left, and this job needs {images}. Make fewer, or wait until 00:00 UTC."""

    kind, code = Kind.LIMITED, "quota.images_exceeded"


class GpuSecondsExceeded(Refusal):
    """You have used today's {limit} GPU-seconds. The quota resets at 00:00 UTC."""

    kind, code = Kind.LIMITED, "quota.gpu_seconds_exceeded"


class QueueFull(Refusal):
    """Your queue is full: your tier's limit of pending jobs is {cap}. Wait until one starts, or cancel one."""

    kind, code = Kind.LIMITED, "quota.queue_full"


USAGE_DAYS = 90  # kept, today included


class ReadDailyUsage(StrictModel):
    """Ask what the tenant in the subject has used by day; with the fleet's own token, what everybody has."""

    days: Annotated[int, Field(ge=1, le=USAGE_DAYS)] = 30


class EndpointUsage(TolerantModel):
    """What jobs that came by one endpoint have used: images once they have ended, GPU-seconds as attempts end."""

    images: int
    gpu_seconds: float


class UsageDay(TolerantModel):
    """What the jobs accepted on one UTC day have used.

    Attributes:
        jobs: accepted that day.
        images: made by them, or reserved for them where they have not ended.
        gpu_seconds: that nodes spent on them, on whatever day.
        endpoints: the share of each endpoint; none of jobs that came by the door for other systems.
    """

    day: date
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUsage] = Field(default_factory=dict)


class DailyUsage(TolerantModel):
    """Days with any use, newest first."""

    days: tuple[UsageDay, ...]


READ_TENANT_USAGE = scheduler_rpc(
    "use", "read", ReadTenantUsage, TenantUsage, "Read what a tenant uses now.", timeout_s=1.5
)
READ_DAILY_USAGE = scheduler_rpc("usage", "read", ReadDailyUsage, DailyUsage, "Read what a tenant used on each day.")

TOPICS = (READ_TENANT_USAGE, READ_DAILY_USAGE)
