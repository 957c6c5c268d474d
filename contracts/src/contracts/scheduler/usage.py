"""Usage of a tenant: current and per day."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel


class Quota(TolerantModel):
    """Images that a tenant used today (UTC). ``limit`` None means unlimited."""

    limit: int | None
    used: int
    resets_at: datetime


class ReadTenantUsage(StrictModel):
    """Get the current usage of the tenant in the subject."""


class TenantUsage(TolerantModel):
    """Current usage of a tenant: today's images, reserved ones included, and running and waiting jobs."""

    quota: Quota
    running: int
    queued: int


class QuotaExceeded(Refusal):
    """{left} of today's {limit} images are left, and this job needs {images}. {advice}."""

    kind, code = ErrorKind.LIMITED, "quota.images_exceeded"


class GpuSecondsExceeded(Refusal):
    """You have used today's {limit} GPU-seconds. The quota resets at 00:00 UTC."""

    kind, code = ErrorKind.LIMITED, "quota.gpu_seconds_exceeded"


class QueueFull(Refusal):
    """Your queue is full: your tier's limit of pending jobs is {cap}. Wait until one starts, or cancel one."""

    kind, code = ErrorKind.LIMITED, "quota.queue_full"


USAGE_DAYS = 90  # days that are kept, today included


class ReadDailyUsage(StrictModel):
    """Get the usage per day of the tenant in the subject; with the fleet's token, of all tenants."""

    days: Annotated[int, Field(ge=1, le=USAGE_DAYS)] = 30


class EndpointUsage(TolerantModel):
    """Usage by jobs of one endpoint: images of ended jobs, and GPU-seconds of ended attempts."""

    images: int
    gpu_seconds: float


class UsageDay(TolerantModel):
    """Usage by the jobs that were accepted on one UTC day.

    Attributes:
        jobs: number of jobs accepted that day.
        images: images that these jobs produced, or have reserved if they have not ended.
        gpu_seconds: GPU-seconds that nodes spent on these jobs, on that day or later.
        endpoints: usage per endpoint; without jobs that came over NATS.
    """

    day: date
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUsage] = Field(default_factory=dict)


class DailyUsage(TolerantModel):
    """Days with any usage, newest first."""

    days: tuple[UsageDay, ...]


READ_TENANT_USAGE = declare_scheduler_rpc(
    "use", "read", ReadTenantUsage, TenantUsage, "Read what a tenant uses now.", timeout_s=1.5
)
READ_DAILY_USAGE = declare_scheduler_rpc(
    "usage", "read", ReadDailyUsage, DailyUsage, "Read what a tenant used on each day."
)

TOPICS = (READ_TENANT_USAGE, READ_DAILY_USAGE)
