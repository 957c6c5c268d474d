"""Deletion of ended jobs. Every service deletes what it stores for a purged job."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import Topic, Traffic

MAX_FIND_JOBS = 500


class PurgeJob(StrictModel):
    """Delete a job that has ended, with its inputs and outputs, everywhere."""

    job_id: UUID


class PurgeReply(TolerantModel):
    """The job is gone, and what belonged to it goes within seconds wherever it is."""


class JobPurged(TolerantModel):
    """A job that is gone: whoever has something of it deletes that, and takes nothing of it any more.

    Attributes:
        with_inputs: whether the owner asked for it: then uploads that only this job used go too. One whose time was
            over leaves them to their own.
    """

    job_id: UUID
    tenant_id: UUID
    with_inputs: bool
    at: datetime


class FindJobs(StrictModel):
    """Ask which of these jobs there are, whosever they are."""

    job_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_FIND_JOBS)]


class ExistingJobs(TolerantModel):
    """Those that there are, and those of them that have ended. What is not there never was, or was purged."""

    job_ids: tuple[UUID, ...]
    ended: tuple[UUID, ...] = ()


class JobNotEnded(Refusal):
    """The job is {status}. Cancel it first: only a job that has ended can be purged."""

    kind, code = Kind.CONFLICT, "job.not_ended"


class JobStopping(Refusal):
    """The job was cancelled and its node is still letting go of it. Purge it in a moment."""

    kind, code = Kind.CONFLICT, "job.stopping"


PURGE_JOB = scheduler_rpc(
    "job", "purge", PurgeJob, PurgeReply, "Delete an ended job and everything that belongs to it.", timeout_s=1.8
)
FIND_JOBS = scheduler_rpc(
    "job", "find", FindJobs, ExistingJobs, "Find which of these jobs exist and which of them have ended.", timeout_s=1.8
)
JOB_PURGED = Topic(
    kind=Traffic.EVT,
    owner="scheduler",
    noun="job",
    verb="purged",
    key="job",
    payload=JobPurged,
    description="A job was purged, by its owner or because its retention period ended.",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)

TOPICS = (PURGE_JOB, FIND_JOBS, JOB_PURGED)
