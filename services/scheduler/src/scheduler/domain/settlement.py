"""Decides what follows from the end of an attempt, and how each transition changes the tenant's counters."""

from dataclasses import dataclass

from contracts.scheduler.attempts import START_ATTEMPT, FinishAttempt, Outcome
from contracts.scheduler.jobs import JobError, JobWarning
from scheduler.domain.gpu_memory import GpuOutOfMemory
from scheduler.domain.job import LockedJob
from scheduler.domain.states import Cause

MAX_NODE_DEATHS = 2  # a job is not tried again once this many nodes died while running it
MAX_FAILED_NODES = 2  # a job is not tried again once this many different nodes failed while running it
AVOID_NODE_S = 120.0  # how long a job avoids a node that failed while running it, if another node can run it
# How long a job may exceed its time limit, from when the node accepted the prompt: the prompt may wait for 30 s behind
# those of other clients, and its executor needs up to 30 s to stop it and report.
OVERTIME_GRACE_S = 75.0
MIN_COST_S = 1.0  # minimum of GPU-seconds charged at the claim

WITHDRAWN = "withdrawn"  # outcome of an attempt that an operator withdrew
UNCOUNTED_OUTCOMES = (WITHDRAWN, Outcome.RELEASED.value)  # attempts with these outcomes do not count as tries
NODE_LOST = JobError(code="node.lost", message="The node that ran this job was lost.")
JOB_POISON = JobError(
    code="job.poison",
    message="Two nodes failed while they ran this job, or one stopped answering twice. The job is not tried again.",
)
RUN_TIME_EXCEEDED = JobError(
    code="job.run_time_exceeded",
    message="The job ran longer than its time limit: run_within_seconds, or the limit of the tier. Allow more, or make "
    "it smaller.",
)
NO_OUTPUTS = JobError(
    code="job.no_outputs",
    message="The job ran, but none of its nodes left an output. Add a node that saves or previews something.",
)
NO_OUTPUTS_WARNING = JobWarning(code=NO_OUTPUTS.code, message=NO_OUTPUTS.message)
MAX_WARNINGS = 20  # per job
WITHDRAWN_BY_OPERATOR = JobError(code="node.withdrawn", message="An operator took this job from its node.")


@dataclass(frozen=True, slots=True)
class TransitionEffects:
    """What a transition adds to the counters of its tenant.

    Attributes:
        queued, running: queued jobs and live attempts.
        cost: GPU-seconds charged to the fair share (``vtime``).
        images: images charged to the job's usage day; negative to release a reservation.
        gpu_seconds: GPU-seconds charged to the job's usage day.
        settled: final number of images of the job; None while it has not ended.
    """

    queued: int = 0
    running: int = 0
    cost: float = 0.0
    images: int = 0
    gpu_seconds: float = 0.0
    settled: int | None = None


HOLD_EFFECTS, RELEASE_EFFECTS = (
    TransitionEffects(queued=-1),
    TransitionEffects(queued=1),
)  # a job on hold does not count as queued


def estimate_cost(mean_s: float | None) -> float:
    """Estimate the GPU-seconds of a job, to charge them at the claim. The end of the attempt corrects the charge.

    With a realistic charge, the fair order takes running jobs into account: nodes that become free one after another
    serve different tenants.

    Args:
        mean_s: mean GPU-seconds of recent jobs; None if there are none.
    """
    return max(mean_s or 0.0, MIN_COST_S)


def compute_claim_effects(cost_s: float) -> TransitionEffects:
    """Return how claiming a job changes its tenant's counters.

    Args:
        cost_s: estimated GPU-seconds of the job.
    """
    return TransitionEffects(queued=-1, running=1, cost=cost_s)


def compute_unstarted_end_effects(job: LockedJob) -> TransitionEffects:
    """Return how a job that ends while queued or on hold changes its tenant's counters: it costs nothing."""
    return TransitionEffects(queued=0 if job.on_hold else -1, images=-job.images, settled=0)


def is_node_death(ending: FinishAttempt) -> bool:
    """Whether the node died while running the job, so that the job may be the cause."""
    return ending.node_died and ending.outcome is Outcome.NODE_FAULT


def decide_transition_cause(
    outcome: Outcome,
    *,
    tries: int,
    max_attempts: int,
    node_deaths: int = 0,
    failed_nodes: int = 0,
    memory: GpuOutOfMemory | None = None,
) -> Cause:
    """Decide the job's next transition after an attempt has ended.

    A failure of the workflow is never tried again. A node fault is, until all attempts are used, ``MAX_NODE_DEATHS``
    nodes died while running the job, ``MAX_FAILED_NODES`` different ones failed, or the job ran out of memory twice
    and no larger node is usable. A cancellation that was not requested counts as a node fault. A released job is always
    queued again.

    Args:
        outcome: outcome of the attempt.
        tries: number of attempts that count as tries, including this one.
        max_attempts: number of tries that a job may have.
        node_deaths: number of attempts whose node died, including this one.
        failed_nodes: number of different nodes that failed while running the job, including the node of this attempt.
        memory: set if the node ran out of memory.
    """
    match outcome:
        case Outcome.SUCCEEDED:
            return Cause.SUCCEEDED
        case Outcome.FAILED:
            return Cause.FAILED
        case Outcome.RELEASED:
            return Cause.REQUEUED
        case Outcome.NODE_FAULT if node_deaths >= MAX_NODE_DEATHS or failed_nodes >= MAX_FAILED_NODES:
            return Cause.POISONED
        case Outcome.NODE_FAULT if memory is not None and memory.is_final:
            return Cause.ATTEMPTS_EXHAUSTED
        case Outcome.NODE_FAULT | Outcome.CANCELLED:
            return Cause.NODE_FAULT if tries < max_attempts else Cause.ATTEMPTS_EXHAUSTED


def apply_rule_for_no_outputs(job: LockedJob, ending: FinishAttempt) -> FinishAttempt:
    """Treat a successful attempt without outputs: add a warning, or fail it if the submission chose that."""
    if ending.outcome is not Outcome.SUCCEEDED or ending.outputs:
        return ending
    if job.fail_without_outputs:
        return ending.model_copy(update={"outcome": Outcome.FAILED, "error": NO_OUTPUTS})
    return ending.model_copy(update={"warnings": (NO_OUTPUTS_WARNING, *ending.warnings)[:MAX_WARNINGS]})


def limit_gpu_seconds(ending: FinishAttempt, *, age_s: float) -> FinishAttempt:
    """Limit the GPU-seconds of an attempt to its age: the clock of a node may be wrong.

    Args:
        age_s: see ``LockedAttempt``. For a prefetched attempt it begins with the report of its start, which may be
            recorded late by the timeout of that request; the limit allows for that.
    """
    limit_s = max(age_s, 0.0) + START_ATTEMPT.timeout_s
    return ending if ending.gpu_seconds <= limit_s else ending.model_copy(update={"gpu_seconds": limit_s})


def causes_retry(cause: Cause) -> bool:
    """Whether the cause queues the job for another attempt."""
    return cause in {Cause.NODE_FAULT, Cause.LEASE_LAPSED, Cause.REQUEUED}


def compute_end_effects(job: LockedJob, ending: FinishAttempt, cause: Cause, *, charged_s: float) -> TransitionEffects:
    """Return the effects of an attempt's end: frees its slot, corrects its cost and, unless retried, settles images.

    Args:
        job: the job of the attempt.
        ending: the report of the end.
        cause: cause of the job's transition that follows.
        charged_s: GPU-seconds charged at the claim.
    """
    cost, spent = ending.gpu_seconds - charged_s, ending.gpu_seconds
    if causes_retry(cause):
        return TransitionEffects(queued=1, running=-1, cost=cost, gpu_seconds=spent)
    images = min(ending.images, job.images) if ending.outcome in {Outcome.SUCCEEDED, Outcome.CANCELLED} else 0
    return TransitionEffects(running=-1, cost=cost, images=images - job.images, gpu_seconds=spent, settled=images)
