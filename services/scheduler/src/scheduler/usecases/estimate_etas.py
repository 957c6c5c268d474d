"""Estimates when jobs start and end, and finds their position in the order in which jobs start."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from chassis.database.statement import Connection
from scheduler.domain.eta import Concurrency, Eta, NodeSchedule, estimate_eta
from scheduler.domain.fair_order import CompetingTenant, FairOrder, WaitingTenant
from scheduler.domain.job import JobSnapshot
from scheduler.domain.run_times import JobKind, RunTime
from scheduler.domain.settlement import MIN_COST_S
from scheduler.domain.waiting import NodeFacts, NodeSurvey, TenantFacts
from scheduler.store import waiting_tenants
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.run_time_history import RunTimeHistory

# How long the list of waiting tenants is cached. Reading 1,000 of them and building their order takes about 10 ms.
MAX_SHORT_LIST = 64
SHORT_FRESH_S, LONG_FRESH_S = 0.005, 1.0
MIN_REMAINING_SHARE = 0.25  # of the mean run time, assumed to remain of a run that has taken about that long


class QueuePlace(NamedTuple):
    """The place of a queued job in the order in which jobs start.

    Attributes:
        own_ahead, others_ahead: number of jobs before it, of its own tenant and of other tenants.
        other_job_s: mean run time of the jobs of other tenants.
    """

    own_ahead: int
    others_ahead: int
    other_job_s: float

    @property
    def position(self) -> int:
        return self.own_ahead + self.others_ahead + 1


class EtaEstimator:
    """Estimates from cached data. Call ``refresh_facts`` first."""

    def __init__(self, fleet: FleetState, history: RunTimeHistory) -> None:
        self._fleet, self._history = fleet, history
        self._tenants: Sequence[WaitingTenant] = ()
        self._fresh_until = 0.0
        self._version = -1
        self._orders: dict[frozenset[str], FairOrder] = {}  # by catalogs, for the cached tenants and run times

    @property
    def is_fresh(self) -> bool:
        """Whether ``refresh_facts`` would read nothing but run times."""
        return monotonic() < self._fresh_until

    async def refresh_facts(self, connection: Connection) -> None:
        """Read waiting tenants and run times, unless they are cached."""
        await self._history.refresh_history(connection)
        if monotonic() < self._fresh_until:
            return
        self._tenants = await waiting_tenants.list_waiting_tenants(connection)
        self._orders = {}
        is_short = len(self._tenants) <= MAX_SHORT_LIST
        self._fresh_until = monotonic() + (SHORT_FRESH_S if is_short else LONG_FRESH_S)

    def find_place(self, job: JobSnapshot, tenant: TenantFacts, survey: NodeSurvey) -> QueuePlace | None:
        """Find the place of a job; None if it is not queued, or on hold."""
        if job.queue_position is None:
            return None
        own_ahead = job.queue_position - 1
        order = self._get_fair_order(survey)
        others = order.count_jobs_before(
            tenant_id=tenant.id,
            vtime=tenant.vtime,
            weight=tenant.weight,
            jobs_ahead=own_ahead,
            cost_s=self._predict_mean_run_time(job.requirement_id, survey.open_nodes_by_gpu),
        )
        return QueuePlace(own_ahead, others, order.mean_cost_s)

    def estimate_queued_job(
        self, job: JobSnapshot, tenant: TenantFacts, survey: NodeSurvey, place: QueuePlace
    ) -> Eta | None:
        """Estimate when a queued job starts and ends; None if no job has succeeded yet, or no node can take it now."""
        if not survey.usable_nodes:
            return None
        kind = JobKind(job.requirement_id, job.fingerprint, survey.usable_nodes_by_gpu)
        models = self._fleet.get_models(job.requirement_id)
        own = self._history.run_times.predict_run_time(
            kind, loads_models=not any(models <= loaded for loaded in survey.loaded_model_sets)
        )
        if own is None:
            return None
        own_mean_s = self._predict_mean_run_time(job.requirement_id, kind.nodes_by_gpu)
        ahead = place.own_ahead + place.others_ahead
        job_s = own_mean_s
        if ahead:
            job_s = (place.own_ahead * own_mean_s + place.others_ahead * place.other_job_s) / ahead
        usual = self._history.run_times.predict_run_time(kind._replace(fingerprint=None), loads_models=False) or own
        idle = len(survey.usable_nodes) - len(survey.working_nodes)
        return estimate_eta(
            NodeSchedule([0.0] * idle + [_estimate_busy_s(node, job, job_s) for node in survey.working_nodes]),
            position=place.position,
            own=own,
            job_s=job_s,
            spread_s=usual.p90_s - usual.p50_s,
            concurrency=Concurrency(tenant.max_running, tenant.running, place.own_ahead),
        )

    def estimate_running_job(self, job: JobSnapshot, survey: NodeSurvey) -> RunTime | None:
        """Estimate how long a running job still runs; None if it already ran longer than all known ones."""
        if job.started_at is None:
            return None
        kind = JobKind(job.requirement_id, job.fingerprint, survey.open_nodes_by_gpu)
        elapsed_s = max((job.now - job.started_at).total_seconds(), 0.0)
        return self._history.run_times.predict_remaining_time(kind, elapsed_s=elapsed_s)

    def _get_fair_order(self, survey: NodeSurvey) -> FairOrder:
        """Return the order of the tenants that have jobs for the open nodes of a survey. Cached.

        It contains all tenants if the survey has no open node, or if it is not known yet what these can run.
        """
        if self._version != self._history.version:
            self._orders, self._version = {}, self._history.version
        digests = survey.digests
        if digests not in self._orders:
            runnable = self._fleet.find_requirements_met_by_any(digests)
            costs: dict[int, float] = {}
            competitors = []
            for tenant in self._tenants:
                requirements = [key for key in tenant.requirements if runnable is None or key in runnable]
                if tenant.requirements and not requirements:
                    continue
                for requirement in requirements:
                    if requirement not in costs:
                        costs[requirement] = self._predict_mean_run_time(requirement, survey.open_nodes_by_gpu)
                cost_s = sum(costs[key] for key in requirements) / len(requirements) if requirements else MIN_COST_S
                competitors.append(CompetingTenant(tenant, cost_s))
            self._orders[digests] = FairOrder(competitors)
        return self._orders[digests]

    def _predict_mean_run_time(self, requirement: int, nodes_by_gpu: Mapping[str, int]) -> float:
        mean_s = self._history.run_times.predict_mean_run_time(JobKind(requirement, None, nodes_by_gpu))
        return MIN_COST_S if mean_s is None else mean_s


def _estimate_busy_s(node: NodeFacts, job: JobSnapshot, job_s: float) -> float:
    """Estimate after how many seconds a node has finished what it runs and what it has prefetched."""
    if node.busy_since is None:
        return 0.0
    elapsed_s = (job.now - node.busy_since).total_seconds()
    return max(job_s - elapsed_s, MIN_REMAINING_SHARE * job_s) + node.prefetched * job_s
