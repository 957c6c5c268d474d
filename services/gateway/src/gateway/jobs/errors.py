"""Refusals of jobs and their submission."""

from contracts.gateway.transfers import StorageFull
from contracts.scheduler.submissions import (
    EmptyFleet,
    IdempotencyKeyOfPurgedJob,
    IdempotencyKeyReused,
    InvalidWorkflow,
    RunTimeTooLong,
    StartTimeTooLong,
)
from contracts.scheduler.usage import GpuSecondsExceeded, QueueFull, QuotaExceeded
from contracts.wire.errors import Kind, Refusal
from gateway.edge.errors import BadIdempotencyKey
from gateway.fleet.errors import NoModel
from gateway.storage.errors import StoreMismatch
from gateway.workflows.errors import BadParameters, UnknownWorkflow


class ResultStorageFull(Refusal):
    """Your stored outputs take {stored} bytes; your tier allows {limit}. Purge jobs that you no longer need."""

    kind, code = Kind.FORBIDDEN, "quota.result_bytes_exceeded"


class JobFailed(Refusal):
    """The job failed and would fail again: {cause}. Correct it and submit it again."""

    kind, code = Kind.INVALID, "job.failed"


class JobLost(Refusal):
    """The job failed because of an infrastructure fault. Submit it again."""

    kind, code = Kind.UNAVAILABLE, "job.lost"


class JobCancelled(Refusal):
    """The job was cancelled. Submit it again to have it run."""

    kind, code = Kind.CONFLICT, "job.cancelled"


STORAGE: tuple[type[Refusal], ...] = (StorageFull, StoreMismatch)
"""Refusals of a job while its results could not be stored."""

ADMISSION: tuple[type[Refusal], ...] = (
    InvalidWorkflow, StartTimeTooLong, RunTimeTooLong, IdempotencyKeyOfPurgedJob, QuotaExceeded, GpuSecondsExceeded,
    QueueFull, EmptyFleet,
)  # fmt: skip
"""Refusals of a new job by the scheduler."""

SUBMISSION: tuple[type[Refusal], ...] = (
    BadIdempotencyKey, IdempotencyKeyReused, ResultStorageFull, UnknownWorkflow, BadParameters, NoModel, *ADMISSION,
    *STORAGE,
)  # fmt: skip
"""Refusals of a submission of one job, apart from those of its body."""
