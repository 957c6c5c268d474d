"""What follows from the way in which an attempt ended, and what each transition does to its tenant's counters."""

from dataclasses import dataclass

from contracts.scheduler import FinishAttempt, JobError, Outcome
from scheduler.domain.job import Held
from scheduler.domain.states import Cause

COST_ESTIMATE_S = 1.0  # GPU-seconds charged at a claim; settled to the truth when the attempt ends

NODE_LOST = JobError(code="node.lost", message="The node that ran this job was lost.")


@dataclass(frozen=True, slots=True)
class Effects:
    """What a transition adds to its tenant's counters.

    Attributes:
        queued, running: jobs that wait, attempts that live.
        cost: GPU-seconds charged to the fair share.
        images: images of the job's usage day.
        settled: images that the ended job made, None while it has not ended.
    """

    queued: int = 0
    running: int = 0
    cost: float = 0.0
    images: int = 0
    settled: int | None = None


CLAIM = Effects(queued=-1, running=1, cost=COST_ESTIMATE_S)


def never_ran(job: Held) -> Effects:
    """The job ends while it waits: it costs nothing."""
    return Effects(queued=-1, images=-job.images, settled=0)


def cause_of(outcome: Outcome, *, attempt: int, max_attempts: int) -> Cause:
    """The cause of the job's next transition.

    A workflow's own fault is never tried again; a node's fault is, until the attempts are used up. A cancellation that
    nobody asked for is a node's fault.
    """
    match outcome:
        case Outcome.SUCCEEDED:
            return Cause.SUCCEEDED
        case Outcome.FAILED:
            return Cause.FAILED
        case Outcome.NODE_FAULT | Outcome.CANCELLED:
            return Cause.NODE_FAULT if attempt < max_attempts else Cause.ATTEMPTS_EXHAUSTED


def is_retry(cause: Cause) -> bool:
    """Whether the job waits for its next attempt."""
    return cause in {Cause.NODE_FAULT, Cause.LEASE_LAPSED}


def ended(job: Held, ending: FinishAttempt, cause: Cause, *, charged: float) -> Effects:
    """An attempt is over: its slot is free, its true cost is known, and so are its images unless it is tried again.

    Args:
        job: whose attempt it was.
        ending: how it ended.
        cause: of the transition that follows.
        charged: GPU-seconds charged at the claim.
    """
    cost = ending.gpu_seconds - charged
    if is_retry(cause):
        return Effects(queued=1, running=-1, cost=cost)
    made = ending.images if ending.outcome in {Outcome.SUCCEEDED, Outcome.CANCELLED} else 0
    return Effects(running=-1, cost=cost, images=made - job.images, settled=made)
