"""Deletion of ended jobs. Every service deletes what it stores for a purged job."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Topic

MAX_FIND_JOBS = 500


class PurgeJob(StrictModel):
    """Delete an ended job with its inputs and outputs, in every service."""

    job_id: UUID


class PurgeReply(TolerantModel):
    """The job is deleted. Other services delete its data within seconds."""


class JobPurged(TolerantModel):
    """A job was deleted. Delete all data of it, and accept no new data for it.

    Attributes:
        with_inputs: whether the owner requested the deletion: then uploads that only this job used are deleted too. If
            the job's retention ended, uploads keep their own lifetime.
    """

    job_id: UUID
    tenant_id: UUID
    with_inputs: bool
    at: datetime


class FindJobs(StrictModel):
    """Find out which of these jobs exist, for any tenant."""

    job_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_FIND_JOBS)]


class ExistingJobs(TolerantModel):
    """The jobs that exist, and those of them that have ended. Others never existed or were purged."""

    job_ids: tuple[UUID, ...]
    ended: tuple[UUID, ...] = ()


class JobNotEnded(Refusal):
    """The job is {status}. Cancel it first: only a job that has ended can be purged."""

    kind, code = ErrorKind.CONFLICT, "job.not_ended"


class JobStopping(Refusal):
    """The job was cancelled but its node has not released it yet. Purge it in a moment."""

    kind, code = ErrorKind.CONFLICT, "job.stopping"


PURGE_JOB = declare_scheduler_rpc(
    "job", "purge", PurgeJob, PurgeReply, "Delete an ended job and everything that belongs to it.", timeout_s=1.8
)
FIND_JOBS = declare_scheduler_rpc(
    "job", "find", FindJobs, ExistingJobs, "Find which of these jobs exist and which of them have ended.", timeout_s=1.8
)
JOB_PURGED = Topic(
    kind=MessageKind.EVT,
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
