"""What follows from the way in which an attempt ended, and what each transition does to its tenant's counters."""

from dataclasses import dataclass

from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.jobs import JobError, JobWarning
from scheduler.domain.job import LockedJob
from scheduler.domain.states import Cause

NODE_DEATHS = 2  # after so many deaths of a node with the job in hand, it is not tried again
ELSEWHERE_FIRST_S = 120.0  # only other nodes may run the job for so long after its node died, if any other can
OVERTIME_GRACE_S = 60.0  # past a job's time limit; its executor ends the prompt (up to 30 s) before it reports
COST_ESTIMATE_S = 1.0  # GPU-seconds charged at a claim; settled to the truth when the attempt ends

WITHDRAWN = "withdrawn"  # outcome of an attempt that an operator took from its node: it is no try of the job's
NODE_LOST = JobError(code="node.lost", message="The node that ran this job was lost.")
JOB_POISON = JobError(
    code="job.poison",
    message="The node that ran this job stopped answering, twice. The job is not tried again.",
)
RUN_TIME_EXCEEDED = JobError(
    code="job.run_time_exceeded",
    message="The job ran longer than its time limit. Allow more in run_within_seconds, or make it smaller.",
)
NO_OUTPUTS = JobError(
    code="job.no_outputs",
    message="The job ran, but none of its nodes left an output. Add a node that saves or previews something.",
)
NOTHING_LEFT = JobWarning(code=NO_OUTPUTS.code, message=NO_OUTPUTS.message)
MAX_WARNINGS = 20  # of a job
TAKEN_AWAY = JobError(code="node.withdrawn", message="An operator took this job from its node.")


@dataclass(frozen=True, slots=True)
class Effects:
    """What a transition adds to its tenant's counters.

    Attributes:
        queued, running: jobs that wait, attempts that live.
        cost: GPU-seconds charged to the fair share.
        images: images of the job's usage day; never more than were reserved.
        gpu_seconds: that a node spent, for the same day.
        settled: images that the ended job made, None while it has not ended.
    """

    queued: int = 0
    running: int = 0
    cost: float = 0.0
    images: int = 0
    gpu_seconds: float = 0.0
    settled: int | None = None


CLAIM = Effects(queued=-1, running=1, cost=COST_ESTIMATE_S)
HOLD, RELEASE = Effects(queued=-1), Effects(queued=1)  # a job on hold does not wait for a node


def never_ran(job: LockedJob) -> Effects:
    """The job ends while it waits: it costs nothing."""
    return Effects(queued=0 if job.on_hold else -1, images=-job.images, settled=0)


def is_node_death(ending: FinishAttempt) -> bool:
    """Whether the node died with the job in hand, so that the job may be what killed it."""
    return ending.node_died and ending.outcome is Outcome.NODE_FAULT


def cause_of(outcome: Outcome, *, tries: int, max_attempts: int, node_deaths: int = 0) -> Cause:
    """The cause of the job's next transition.

    A workflow's own fault is never tried again; a node's fault is, until the attempts are used up or the second node
    has died with the job in hand. A cancellation that nobody asked for is a node's fault.

    Args:
        outcome: of the attempt.
        tries: attempts that count, this one included.
        max_attempts: that a job has.
        node_deaths: attempts in which the node died, this one included.
    """
    match outcome:
        case Outcome.SUCCEEDED:
            return Cause.SUCCEEDED
        case Outcome.FAILED:
            return Cause.FAILED
        case Outcome.NODE_FAULT if node_deaths >= NODE_DEATHS:
            return Cause.POISONED
        case Outcome.NODE_FAULT | Outcome.CANCELLED:
            return Cause.NODE_FAULT if tries < max_attempts else Cause.ATTEMPTS_EXHAUSTED


def judged_by_outputs(job: LockedJob, ending: FinishAttempt) -> FinishAttempt:
    """How an attempt ended in the eyes of its job: an attempt that left nothing has a warning or, by choice, failed."""
    if ending.outcome is not Outcome.SUCCEEDED or ending.outputs:
        return ending
    if job.fail_without_outputs:
        return ending.model_copy(update={"outcome": Outcome.FAILED, "error": NO_OUTPUTS})
    return ending.model_copy(update={"warnings": (NOTHING_LEFT, *ending.warnings)[:MAX_WARNINGS]})


def is_retry(cause: Cause) -> bool:
    """Whether the job waits for its next attempt."""
    return cause in {Cause.NODE_FAULT, Cause.LEASE_LAPSED, Cause.REQUEUED}


def ended(job: LockedJob, ending: FinishAttempt, cause: Cause, *, charged: float) -> Effects:
    """An attempt is over: its slot is free, its true cost is known, and so are its images unless it is tried again.

    Args:
        job: whose attempt it was.
        ending: how it ended.
        cause: of the transition that follows.
        charged: GPU-seconds charged at the claim.
    """
    cost, spent = ending.gpu_seconds - charged, ending.gpu_seconds
    if is_retry(cause):
        return Effects(queued=1, running=-1, cost=cost, gpu_seconds=spent)
    made = min(ending.images, job.images) if ending.outcome in {Outcome.SUCCEEDED, Outcome.CANCELLED} else 0
    return Effects(running=-1, cost=cost, images=made - job.images, gpu_seconds=spent, settled=made)
