"""Words of deletion. The scheduler says which jobs are gone; everybody else follows, and asks about what it missed."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Topic, Traffic

JOBS_AT_ONCE = 500


class PurgeJob(Command):
    """Delete a job that has ended, with its inputs and outputs, everywhere."""

    job_id: UUID


class Purged(Fact):
    """The job is gone, and what belonged to it goes within seconds wherever it is."""


class JobPurged(Fact):
    """A job that is gone: whoever has something of it deletes that, and takes nothing of it any more.

    Attributes:
        with_inputs: whether the owner asked for it: then uploads that only this job used go too. One whose time was
            over leaves them to their own.
    """

    job_id: UUID
    tenant_id: UUID
    with_inputs: bool
    at: datetime


class FindJobs(Command):
    """Ask which of these jobs there are, whosever they are."""

    job_ids: Annotated[tuple[UUID, ...], Field(max_length=JOBS_AT_ONCE)]


class FoundJobs(Fact):
    """Those that there are, and those of them that have ended. What is not there never was, or was purged."""

    job_ids: tuple[UUID, ...]
    ended: tuple[UUID, ...] = ()


class JobNotEnded(Refusal):
    """The job is {status}. Cancel it first: only a job that has ended can be purged."""

    kind, code = Kind.CONFLICT, "job.not_ended"


class JobStopping(Refusal):
    """The job was cancelled and its node is still letting go of it. Purge it in a moment."""

    kind, code = Kind.CONFLICT, "job.stopping"


class KeyOfPurgedJob(Refusal):
    """The job that this Idempotency-Key made was purged. Send a new key for a new job."""

    kind, code = Kind.INVALID, "idempotency.job_purged"


def _rpc(verb: str, payload: Any, reply: Any, says: str) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="scheduler", noun="job", verb=verb, payload=payload, reply=reply, says=says,
        producers=("gateway",), consumers=("scheduler",), timeout_s=1.8,
    )  # fmt: skip


PURGE_JOB: Rpc[PurgeJob, Purged] = _rpc("purge", PurgeJob, Purged, "delete this job and all that belongs to it")
FIND_JOBS: Rpc[FindJobs, FoundJobs] = _rpc(
    "find", FindJobs, FoundJobs, "which of these jobs are still there, and have ended"
)
JOB_PURGED: Topic[JobPurged] = Topic(
    kind=Traffic.EVT,
    owner="scheduler",
    noun="job",
    verb="purged",
    key="job",
    payload=JobPurged,
    says="a job is gone, by its owner's wish or because its time was over",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)

TOPICS = (PURGE_JOB, FIND_JOBS, JOB_PURGED)
