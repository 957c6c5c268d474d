"""The scheduler's policy: its domain code chooses jobs from queues in memory, by the steps of a claim in PostgreSQL.

The steps are those of ``scheduler.usecases.place_jobs`` and ``dispatch_jobs``. Where SQL computes something, a comment
names the place.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from heapq import heappop, heappush
from uuid import UUID

from scheduler.domain.placement import (
    FirstJob,
    TenantTurn,
    WarmTenant,
    Warmth,
    choose_job,
    find_due_job,
    list_preferred_tenants,
    may_yield_turn,
    rate_warmth,
)
from scheduler.domain.settlement import estimate_cost
from scheduler.store.claims import FIRST_TENANTS
from scheduler.usecases.dispatch_jobs import HEAD_START_S
from tests.simulate.fleet import Fleet, Job, Node, Policy

MEAN_OF_JOBS = 20  # scheduler.store.attempts.compute_mean_gpu_seconds

# Jobs have one model each, and of a node only the model of its newest job is known, as executors report it.
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
    def turn(self) -> TenantTurn:
        return TenantTurn(self.id, self.vtime, self.weight)

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
        self._loaded_on = [0] * len(fleet.workload.models)  # number of nodes by model of their newest job
        smallest_gb, largest_gb = min(fleet.workload.vram_gb), max(model.size_gb for model in fleet.workload.models)
        self._fits_everywhere = largest_gb <= smallest_gb
        self._costs: deque[float] = deque(maxlen=MEAN_OF_JOBS)
        self._charged: dict[int, float] = {}  # by number of a running job

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
        self._charge(self._tenants[job.submission.tenant], gpu_s - self._charged.pop(job.number))

    def _wake_node(self, model: int, *, is_head_start_over: bool = False) -> None:
        """Let an idle node claim for a job with this model, as ``WaitingRequests`` does.

        The first of these that there is: a node that has the model, one without models, the one that is idle longest.
        If some node has the model, but no idle one, that node has a head start.
        """
        size, idle, fleet = self.fleet.workload.models[model], self.fleet.idle_by_model, self.fleet
        if not fleet.idle:
            return
        groups = (idle.get(model, {}), idle.get(None, {}), fleet.idle)
        node = next((one for nodes in groups for one in nodes.values() if one.can_run(size)), None)
        if node is None:
            return
        if node.newest != model and self._loaded_on[model] and not is_head_start_over:
            fleet.call_at(fleet.now + HEAD_START_S, lambda: self._end_head_start(model))
        else:
            self.claim(node)

    def _end_head_start(self, model: int) -> None:
        if self._waiting[model]:
            self._wake_node(model, is_head_start_over=True)

    def _list_first_jobs(self, tenant: TenantQueue, node: Node) -> dict[Warmth, Job]:
        """List the tenant's first job of each warmth. SQL: ``claims.lock_tenant_and_list_jobs``."""
        firsts: dict[Warmth, tuple[tuple[int, int], Job]] = {}
        newest, loaded_on = node.newest, self._loaded_on
        for model, queue in tenant.by_model.items():
            warmth = WARM if model == newest else ELSEWHERE if loaded_on[model] else COLD
            is_first = warmth not in firsts or queue[0] < firsts[warmth]
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
        """Find a tenant whose warm job may run first, and its model. SQL: ``claims.list_warm_tenants``."""
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
                warm.append(WarmTenant(tenant.turn, priority, first.submission.priority, *self._measure_delay(first)))
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
        if node.newest is not None:
            self._loaded_on[node.newest] -= 1
        self._loaded_on[model] += 1
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
