"""Actions of operators on jobs of any tenant."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.scheduler.jobs import Job
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel


class JobAction(StrEnum):
    """An operator's action on a job."""

    CANCEL = "cancel"  # like a cancellation by the owner
    HOLD = "hold"  # keep a waiting job from running
    RELEASE = "release"  # end the hold
    REQUEUE = "requeue"  # a running job returns to the queue; a failed job runs again as a new job
    PRIORITISE = "prioritise"  # change the priority among the owner's jobs


class RunJobAction(StrictModel):
    """Apply an action to a job. ``retry_id`` is the id of the new job if a failed job is requeued."""

    job_id: UUID
    order: JobAction
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    retry_id: UUID | None = None


class JobActionReply(TolerantModel):
    """The job after the action, or the new job that reruns it."""

    job: Job


class JobHasEnded(Refusal):
    """The job has already ended: {state}. This request is for jobs that have not ended."""

    kind, code = ErrorKind.CONFLICT, "job.ended"


class JobNotWaiting(Refusal):
    """The job is {state}. Only a waiting job can be held. Requeue a running one first."""

    kind, code = ErrorKind.CONFLICT, "job.not_waiting"


class JobNotRepeatable(Refusal):
    """The job is {state}. Only a running job can be requeued, and only a failed one can be run again."""

    kind, code = ErrorKind.CONFLICT, "job.not_repeatable"


RUN_JOB_ACTION = declare_scheduler_rpc(
    "job", "order", RunJobAction, JobActionReply, "An operator runs an action on a job."
)

TOPICS = (RUN_JOB_ACTION,)
