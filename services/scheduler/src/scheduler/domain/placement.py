"""Chooses the job that a node runs next, so that nodes rarely load models. Pure: no I/O, no clock.

The fair order says which tenant is next, and priority and age say which of its jobs is. Within bounds, a job whose
models the node has loaded goes before that job (decision record 0057).
"""

from collections.abc import Iterable, Sequence, Set
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from contracts.workflow import is_model_file_name

MAX_DELAY_SHARE = 0.1  # a job may be passed over for this share of its waiting time if that exceeds the bound
MAX_WAIT_IN_LOADS = 1.5  # a job waits at most this many load times for a node that has loaded its models
DEMAND_DECAY = 0.998  # each job counts this much compared with the next one
MAX_WEIGHT, NEGLIGIBLE_WEIGHT = 1e6, 1e-3


class Warmth(IntEnum):
    """How many of a job's models a node has loaded, best first.

    "Elsewhere" means that other nodes have loaded all of them, so that one of these can start it sooner.
    """

    WARM = 0  # all of them, or the job has none
    PARTLY_WARM = 1
    PARTLY_WARM_AND_ELSEWHERE = 2
    COLD = 3
    ELSEWHERE = 4


class FirstJob(NamedTuple):
    """The job that comes first among those jobs of one tenant that are equally warm on a node.

    Attributes:
        id: increases with the time of submission.
        passed_over_s: seconds since it was first passed over: another job ran although it was next; 0: never.
        waited_s: seconds from its submission until it was first passed over; 0: never.
    """

    id: UUID
    priority: int
    warmth: Warmth
    passed_over_s: float = 0.0
    waited_s: float = 0.0


class JobChoice(NamedTuple):
    """The job that a node gets.

    Attributes:
        passed_over: the job whose turn it was; None if the node gets that job.
    """

    job: FirstJob
    passed_over: FirstJob | None


class TenantFairShare(NamedTuple):
    """A tenant, with what decides its place in the fair order.

    Attributes:
        vtime: GPU-seconds used / weight; the tenant with the least is next.
    """

    id: UUID
    vtime: float
    weight: float


class TenantWithWarmJob(NamedTuple):
    """A tenant with a job that is warm on a node.

    Attributes:
        warm_priority: highest priority of its warm jobs.
        first_priority: priority of its first queued job, which the node may be unable to run.
        first_passed_over_s, first_waited_s: as in ``FirstJob``, of its first queued job.
    """

    fair_share: TenantFairShare
    warm_priority: int
    first_priority: int
    first_passed_over_s: float
    first_waited_s: float


def list_models(needs: Iterable[str]) -> frozenset[str]:
    """Return the needs of a job that are model files (``Class.input=file``)."""
    return frozenset(need for need in needs if is_model_file_name(need))


def rate_warmth(models: frozenset[str], loaded: Set[str], loaded_elsewhere: Set[str]) -> Warmth:
    """Rate how warm a job with these models is on a node.

    Args:
        loaded: models that the node has loaded.
        loaded_elsewhere: models that other nodes have loaded.
    """
    if models <= loaded:
        return Warmth.WARM
    if models.isdisjoint(loaded):
        return Warmth.ELSEWHERE if models <= loaded_elsewhere else Warmth.COLD
    return Warmth.PARTLY_WARM_AND_ELSEWHERE if models <= loaded_elsewhere else Warmth.PARTLY_WARM


def find_due_job(first_jobs: Sequence[FirstJob]) -> FirstJob:
    """Return the job whose turn it is: the one with the highest priority that was submitted first."""
    return min(first_jobs, key=lambda job: (-job.priority, job.id))


def is_overdue(passed_over_s: float, waited_s: float, *, bound_s: float) -> bool:
    """Whether a job has been passed over for so long that it is next.

    The limit is ``bound_s`` seconds, or a tenth of the time that it had waited before if that is longer. If jobs wait
    for hours, a limit of seconds would make nodes load models most of the time, so that all jobs wait longer.

    Args:
        passed_over_s, waited_s: as in ``FirstJob``.
        bound_s: 0: no job is passed over.
    """
    return bound_s <= 0 or passed_over_s >= max(bound_s, MAX_DELAY_SHARE * waited_s)


def may_defer_to_warm_node(*, deferred_s: float, free_in_s: float, load_s: float) -> bool:
    """Whether a node without the models of a job defers it to a busy node that has loaded them.

    It does as long as the job would start there within ``MAX_WAIT_IN_LOADS`` times the load time. So the job ends half
    a load time later at worst, and this node keeps its models for other jobs. If the busy nodes cannot keep up, the job
    is no longer deferred after that time, and this node loads the models.

    Args:
        deferred_s: seconds for which jobs with the same requirement have been deferred to busy nodes already.
        free_in_s: time until one of the nodes that have loaded the models is expected to be free.
        load_s: usual time to load the models; 0 if unknown.
    """
    return deferred_s + free_in_s < MAX_WAIT_IN_LOADS * load_s


class ModelDemand:
    """How often the last few hundred jobs needed each model."""

    def __init__(self) -> None:
        self._jobs: dict[str, float] = {}
        self._weight = 1.0  # of the next job; it grows, so that the weights of earlier jobs need not be reduced

    def record_job(self, models: Iterable[str]) -> None:
        for model in models:
            self._jobs[model] = self._jobs.get(model, 0.0) + self._weight
        self._weight /= DEMAND_DECAY
        if self._weight > MAX_WEIGHT:
            reduced = {model: jobs / self._weight for model, jobs in self._jobs.items()}
            self._jobs, self._weight = {model: jobs for model, jobs in reduced.items() if jobs > NEGLIGIBLE_WEIGHT}, 1.0

    def compute_demand_per_node(self, model: str, *, nodes: int) -> float:
        """Return how many recent jobs needed the model, per node that has loaded it (``nodes``)."""
        return self._jobs.get(model, 0.0) / self._weight / max(nodes, 1)


def choose_job(first_jobs: Sequence[FirstJob], *, bound_s: float) -> JobChoice:
    """Choose among the jobs of the tenant whose turn it is.

    A warmer job of the same priority is preferred to the job whose turn it is, until that one is overdue.

    Args:
        first_jobs: the tenant's first job of each warmth; at least one.
        bound_s: as in ``is_overdue``.
    """
    due = find_due_job(first_jobs)
    if is_overdue(due.passed_over_s, due.waited_s, bound_s=bound_s):
        return JobChoice(due, None)
    best = min((job for job in first_jobs if job.priority == due.priority), key=lambda job: (job.warmth, job.id))
    return JobChoice(best, None if best is due else due)


def may_yield_turn(due: FirstJob, choice: JobChoice, *, bound_s: float) -> bool:
    """Whether a warm job of another tenant may run first: the chosen job is not warm and the due job not overdue."""
    return choice.job.warmth is not Warmth.WARM and not is_overdue(due.passed_over_s, due.waited_s, bound_s=bound_s)


def is_within_one_job(due: TenantFairShare, other: TenantFairShare, *, cost_s: float) -> bool:
    """Whether a tenant has used at most the cost of one job more than the tenant whose turn it is.

    The difference of their virtual times is converted to GPU-seconds with the larger of their weights.

    Args:
        cost_s: GPU-seconds of a job.
    """
    return (other.vtime - due.vtime) * max(other.weight, due.weight) <= cost_s


def list_preferred_tenants(
    due: TenantFairShare, warm: Iterable[TenantWithWarmJob], *, cost_s: float, bound_s: float
) -> list[TenantFairShare]:
    """List tenants whose warm job may run before the jobs of the tenant whose turn it is, in fair order.

    Such a tenant has used at most one job more. No other job of it has a higher priority than its warm job, and its
    first job is not overdue.

    Args:
        due: the tenant whose turn it is; it may yield.
        cost_s: as in ``is_within_one_job``.
        bound_s: as in ``is_overdue``.
    """
    preferred = [
        tenant.fair_share
        for tenant in warm
        if tenant.fair_share.id != due.id
        and is_within_one_job(due, tenant.fair_share, cost_s=cost_s)
        and tenant.warm_priority >= tenant.first_priority
        and not is_overdue(tenant.first_passed_over_s, tenant.first_waited_s, bound_s=bound_s)
    ]
    return sorted(preferred, key=lambda share: (share.vtime, share.id))
