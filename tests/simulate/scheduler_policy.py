"""The scheduler's policy: its domain code chooses jobs from queues in memory, by the steps of a claim in PostgreSQL.

The steps are those of ``scheduler.usecases.place_jobs`` and ``dispatch_jobs``. Where SQL computes something, a comment
names the place.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from heapq import heappop, heappush
from uuid import UUID

from scheduler.domain.placement import (
    MAX_WAIT_IN_LOADS,
    FirstJob,
    ModelDemand,
    TenantFairShare,
    TenantWithWarmJob,
    Warmth,
    choose_job,
    find_due_job,
    list_preferred_tenants,
    may_defer_to_warm_node,
    may_yield_turn,
    rate_warmth,
)
from scheduler.domain.run_times import HistogramKey, JobKind, RunTimes, SuccessfulRun, add_run
from scheduler.domain.settlement import estimate_cost
from scheduler.store.claims import FIRST_TENANTS
from scheduler.usecases.dispatch_jobs import HEAD_START_S
from tests.simulate.fleet import Fleet, Job, Node, Policy

MEAN_OF_JOBS = 20  # as in scheduler.store.attempts.compute_mean_gpu_seconds

# Each job has one model. As executors report it, only the model of a node's newest job is known.
NODE_CLASS = "GPU"
MODEL: frozenset[str] = frozenset({"model"})
WARM = rate_warmth(MODEL, MODEL, MODEL)
ELSEWHERE = rate_warmth(MODEL, frozenset(), MODEL)
COLD = rate_warmth(MODEL, frozenset(), frozenset())


class TenantQueue:
    """The queued jobs of one tenant."""

    def __init__(self, number: int, weight: float) -> None:
        self.number, self.id, self.weight = number, UUID(int=number), weight
        self.vtime = 0.0
        self.queued = 0
        self.by_model: dict[int, list[tuple[tuple[int, int], Job]]] = {}
        self._all: list[tuple[tuple[int, int], Job]] = []

    @property
    def turn(self) -> TenantFairShare:
        return TenantFairShare(self.id, self.vtime, self.weight)

    def add(self, job: Job) -> None:
        self.queued += 1
        heappush(self.by_model.setdefault(job.submission.model, []), (job.order, job))
        heappush(self._all, (job.order, job))

    def remove_first(self, model: int) -> Job:
        """Remove the first job with this model."""
        queue = self.by_model[model]
        job = heappop(queue)[1]
        if not queue:
            del self.by_model[model]
        self.queued -= 1
        return job

    def get_first(self) -> Job:
        while self._all[0][1].is_started:
            heappop(self._all)
        return self._all[0][1]


class LearnedTimes:
    """Run times of ended jobs by model, as ``scheduler.usecases.learn_run_times`` learns them."""

    def __init__(self) -> None:
        self._run_times = RunTimes()
        self._bins: dict[HistogramKey, dict[int, float]] = {}
        self._predicted: dict[tuple[int, bool | None], float] = {}  # None: the time to load

    def add(self, model: int, seconds: float, *, loads: bool) -> None:
        for key in SuccessfulRun(model, None, NODE_CLASS, loads, seconds).list_keys():
            self._bins[key] = add_run(self._bins.get(key, {}), seconds)
            self._run_times.replace_histogram(key, self._bins[key])
        for asked in (True, False, None):
            self._predicted.pop((model, asked), None)

    def predict_run(self, model: int, *, loads: bool) -> float:
        if (model, loads) not in self._predicted:
            found = self._run_times.predict_run_time(_kind(model), loads_models=loads)
            self._predicted[model, loads] = found.p50_s if found else 0.0
        return self._predicted[model, loads]

    def predict_load(self, model: int) -> float:
        if (model, None) not in self._predicted:
            self._predicted[model, None] = self._run_times.predict_load_time(_kind(model)) or 0.0
        return self._predicted[model, None]


def _kind(model: int) -> JobKind:
    return JobKind(model, None, {NODE_CLASS: 1})


class SchedulerPolicy(Policy):
    """Weighted fair order between tenants; warm jobs first, within bounds.

    Args:
        bound_s: ``SCHEDULER_WARM_BOUND_S``.
    """

    name = "comfyfleet"

    def __init__(self, fleet: Fleet, *, bound_s: float = 30.0) -> None:
        super().__init__(fleet)
        self._bound_s = bound_s
        self._tenants = [TenantQueue(number, tenant.weight) for number, tenant in enumerate(fleet.workload.tenants)]
        self._ready: list[tuple[float, int]] = []  # vtime and number of tenants with queued jobs
        self._waiting: Counter[int] = Counter()  # queued jobs by model
        # By model, the nodes whose newest job needed it, and when they are expected to be free.
        self._free_at: list[dict[int, float]] = [{} for _ in fleet.workload.models]
        self._times = LearnedTimes()
        self._demand = ModelDemand()
        self._woken_at: dict[int, float] = {}  # by model: when a node is woken for jobs that were deferred
        self._deferred_since: dict[int, float] = {}  # by model: since when its jobs are deferred
        smallest_gb, largest_gb = min(fleet.workload.vram_gb), max(model.size_gb for model in fleet.workload.models)
        self._fits_everywhere = largest_gb <= smallest_gb
        self._costs: deque[float] = deque(maxlen=MEAN_OF_JOBS)
        self._charged: dict[int, float] = {}  # by number of a running job: the GPU-seconds that its claim charged

    def submit(self, job: Job) -> None:
        tenant, model = self._tenants[job.submission.tenant], job.submission.model
        if not tenant.queued:  # scheduler.store.tenants.VTIME_WITH_QUEUED
            tenant.vtime = max(tenant.vtime, self._ready[0][0] if self._ready else tenant.vtime)
            insort(self._ready, (tenant.vtime, tenant.number))
        tenant.add(job)
        self._waiting[model] += 1
        self._wake_node(model)

    def claim(self, node: Node) -> None:
        for _, number in self._ready:
            tenant = self._tenants[number]
            firsts = self._list_first_jobs(tenant, node)
            if firsts:
                self._choose(node, tenant, firsts)
                return

    def finish(self, job: Job, node: Node) -> None:  # noqa: ARG002 - the job says it all
        gpu_s = self.fleet.ledger.loads[job.number] + job.submission.run_s
        self._costs.append(gpu_s)
        self._times.add(job.submission.model, gpu_s, loads=self.fleet.ledger.loads[job.number] > 0)
        self._charge(self._tenants[job.submission.tenant], gpu_s - self._charged.pop(job.number))

    def _wake_node(self, model: int, *, is_head_start_over: bool = False) -> None:
        """Let an idle node claim for a job with this model, as ``WaitingRequests`` does.

        The first of these that there is: a node that has the model, one without models, the one whose model the fleet
        would miss least. If only busy nodes have the model, they have a head start, or the job is deferred to them.
        """
        size, idle, fleet = self.fleet.workload.models[model], self.fleet.idle_by_model, self.fleet
        if not fleet.idle:
            return
        least_missed = sorted((one for one in idle if one is not None), key=self._compute_unload_cost)
        groups = (idle.get(model, {}), idle.get(None, {}), *(idle[one] for one in least_missed))
        node = next((one for nodes in groups for one in nodes.values() if one.can_run(size)), None)
        if node is None:
            return
        if node.newest != model and self._free_at[model] and not is_head_start_over:
            if not self._leaves(model, node):
                fleet.call_at(fleet.now + HEAD_START_S, lambda: self._end_head_start(model))
        else:
            self.claim(node)

    def _compute_unload_cost(self, model: int) -> float:
        return self._demand.compute_demand_per_node(str(model), nodes=len(self._free_at[model]))

    def _end_head_start(self, model: int) -> None:
        if self._waiting[model]:
            self._wake_node(model, is_head_start_over=True)

    def _leaves(self, model: int, node: Node) -> bool:
        """Return whether the node defers jobs with this model to a node that has loaded it; if so, schedule a wake.

        As ``scheduler.usecases.warm_node_waits`` does.
        """
        now, free_at = self.fleet.now, self._free_at[model]
        if model == node.newest or not free_at or self._bound_s <= 0:
            return False
        free_in_s = max(0.0, min(free_at.values()) - now)
        load_s = min(self._times.predict_load(model), self._bound_s / MAX_WAIT_IN_LOADS)
        deferred_s = now - self._deferred_since.get(model, now)
        if not may_defer_to_warm_node(deferred_s=deferred_s, free_in_s=free_in_s, load_s=load_s):
            return False
        self._deferred_since.setdefault(model, now)
        again_at = now + max(HEAD_START_S, min(free_in_s + HEAD_START_S, MAX_WAIT_IN_LOADS * load_s - deferred_s))
        if self._woken_at.get(model, 0.0) <= now:
            self._woken_at[model] = again_at
            self.fleet.call_at(again_at, lambda: self._end_head_start(model))
        return True

    def _list_first_jobs(self, tenant: TenantQueue, node: Node) -> dict[Warmth, Job]:
        """List the tenant's first job of each warmth. SQL: ``claims.lock_next_tenant_and_list_jobs``."""
        firsts: dict[Warmth, tuple[tuple[int, int], Job]] = {}
        newest, free_at = node.newest, self._free_at
        for model, queue in tenant.by_model.items():
            warmth = WARM if model == newest else ELSEWHERE if free_at[model] else COLD
            is_first = warmth not in firsts or queue[0] < firsts[warmth]
            if is_first and warmth is ELSEWHERE and self._leaves(model, node):
                continue
            if is_first and (self._fits_everywhere or node.can_run(self.fleet.workload.models[model])):
                firsts[warmth] = queue[0]
        return {warmth: job for warmth, (_, job) in firsts.items()}

    def _choose(self, node: Node, tenant: TenantQueue, firsts: dict[Warmth, Job]) -> None:
        """Start a job, by the steps of ``JobPlacer.lock_job``."""
        jobs = [self._describe(job, warmth) for warmth, job in firsts.items()]
        due, choice = find_due_job(jobs), choose_job(jobs, bound_s=self._bound_s)
        if may_yield_turn(due, choice, bound_s=self._bound_s):
            other = self._find_other_tenant(tenant, node)
            if other is not None:
                self._pass_over(firsts[due.warmth])
                self._start(*other, node)
                return
        if choice.passed_over is not None:
            self._pass_over(firsts[choice.passed_over.warmth])
        self._start(tenant, firsts[choice.job.warmth].submission.model, node)

    def _describe(self, job: Job, warmth: Warmth) -> FirstJob:
        return FirstJob(job.id, job.submission.priority, warmth, *self._measure_delay(job))

    def _measure_delay(self, job: Job) -> tuple[float, float]:
        """Return the seconds for which the job was passed over, and for which it waited before."""
        if job.passed_over_at is None:
            return 0.0, 0.0
        return self.fleet.now - job.passed_over_at, job.passed_over_at - job.submission.at

    def _find_other_tenant(self, due: TenantQueue, node: Node) -> tuple[TenantQueue, int] | None:
        """Find a tenant whose warm job may run first, and its model. SQL: ``claims.list_tenants_with_warm_jobs``."""
        if node.newest is None or not self._waiting[node.newest]:
            return None
        cost_s = self._estimate_cost()
        until, warm = due.vtime + cost_s / due.weight, []
        for vtime, number in self._ready[:FIRST_TENANTS]:
            if vtime > until:
                break
            tenant = self._tenants[number]
            if node.newest in tenant.by_model:
                priority = tenant.by_model[node.newest][0][1].submission.priority
                first = tenant.get_first()
                warm.append(
                    TenantWithWarmJob(tenant.turn, priority, first.submission.priority, *self._measure_delay(first))
                )
        preferred = list_preferred_tenants(due.turn, warm, cost_s=cost_s, bound_s=self._bound_s)
        return (self._tenants[preferred[0].id.int], node.newest) if preferred else None

    def _pass_over(self, job: Job) -> None:
        if job.passed_over_at is None:
            job.passed_over_at = self.fleet.now

    def _start(self, tenant: TenantQueue, model: int, node: Node) -> None:
        job = tenant.remove_first(model)
        self._waiting[model] -= 1
        if not tenant.queued:
            self._remove_ready(tenant)
        self._charged[job.number] = cost_s = self._estimate_cost()
        self._charge(tenant, cost_s)
        is_load = model != node.newest
        self._demand.record_job([str(model)])
        if is_load or not self._waiting[model]:
            self._deferred_since.pop(model, None)
        if node.newest is not None:
            del self._free_at[node.newest][node.number]
        self._free_at[model][node.number] = self.fleet.now + self._times.predict_run(model, loads=is_load)
        self.fleet.start(job, node)

    def _estimate_cost(self) -> float:
        return estimate_cost(sum(self._costs) / len(self._costs) if self._costs else None)

    def _charge(self, tenant: TenantQueue, cost_s: float) -> None:
        """Charge GPU-seconds to the fair share. SQL: ``scheduler.store.transitions``."""
        if tenant.queued:
            self._remove_ready(tenant)
        tenant.vtime = max(0.0, tenant.vtime + cost_s / tenant.weight)
        if tenant.queued:
            insort(self._ready, (tenant.vtime, tenant.number))

    def _remove_ready(self, tenant: TenantQueue) -> None:
        del self._ready[bisect_left(self._ready, (tenant.vtime, tenant.number))]
