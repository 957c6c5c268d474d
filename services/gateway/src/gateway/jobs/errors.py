"""Errors of requests for jobs and of submissions."""

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
from contracts.wire.errors import ErrorKind, Refusal
from gateway.edge.errors import BadIdempotencyKey
from gateway.fleet.errors import NoModel
from gateway.storage.errors import StoreMismatch
from gateway.workflows.errors import BadParameters, UnknownWorkflow


class ResultStorageFull(Refusal):
    """Your stored outputs take {stored} bytes; your tier allows {limit}. Purge jobs that you no longer need."""

    kind, code = ErrorKind.FORBIDDEN, "quota.result_bytes_exceeded"


class JobFailed(Refusal):
    """The job failed and would fail again: {cause}. Correct it and submit it again."""

    kind, code = ErrorKind.INVALID, "job.failed"


class JobLost(Refusal):
    """The job failed because of an infrastructure fault. Submit it again."""

    kind, code = ErrorKind.UNAVAILABLE, "job.lost"


class JobCancelled(Refusal):
    """The job was cancelled. Submit it again to have it run."""

    kind, code = ErrorKind.CONFLICT, "job.cancelled"


STORE_PROBLEMS: tuple[type[Refusal], ...] = (StorageFull, StoreMismatch)
"""Refusals of a job while its results could not be stored."""

ADMISSION_PROBLEMS: tuple[type[Refusal], ...] = (
    InvalidWorkflow, StartTimeTooLong, RunTimeTooLong, IdempotencyKeyOfPurgedJob, QuotaExceeded, GpuSecondsExceeded,
    QueueFull, EmptyFleet,
)  # fmt: skip
"""Refusals of a new job by the scheduler."""

SUBMISSION_PROBLEMS: tuple[type[Refusal], ...] = (
    BadIdempotencyKey, IdempotencyKeyReused, ResultStorageFull, UnknownWorkflow, BadParameters, NoModel,
    *ADMISSION_PROBLEMS, *STORE_PROBLEMS,
)  # fmt: skip
"""Refusals of a submission of one job, apart from those of its body."""
