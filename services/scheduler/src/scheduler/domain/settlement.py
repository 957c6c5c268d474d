"""What follows from the way in which an attempt ended."""

from contracts.scheduler import JobError, Outcome
from scheduler.domain.states import Cause

COST_ESTIMATE_S = 1.0  # GPU-seconds charged at a claim; settled to the truth when the attempt ends

NODE_LOST = JobError(code="node.lost", message="The node that ran this job was lost.")


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
