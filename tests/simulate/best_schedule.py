"""Searches for the schedule with the fewest loads among those that keep the rules of the scheduler's policy.

The schedule knows all jobs in advance, and keeps what the policy promises to tenants:

* The job whose turn it is runs once it was passed over for the bound (``is_overdue``).
* Another tenant's job runs first only within the cost of one job (``is_within_one_job``), and only while that tenant's
  own next job is not overdue.
* Jobs of one tenant with one model start in order of submission.
* A node is idle only while no job is queued, or while every queued job waits for a busy node that has loaded its model.
  No job waits for that longer than its model takes to load.

Unlike the policy, it may run any job that these rules allow, cold or warm, on any idle node.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from scheduler.domain.placement import TenantFairShare, is_overdue, is_within_one_job
from scheduler.domain.settlement import estimate_cost
from tests.simulate.scheduler_policy import MEAN_OF_JOBS
from tests.simulate.workload import Submission, Workload

NEVER, NOTHING = -1.0, -1
ROUNDING = 1e-6


class BusyNode(NamedTuple):
    """A node and its newest job.

    Attributes:
        model: the model that it has loaded.
        cost_s: GPU-seconds of the job; 0 once its end is settled.
        charged_s: GPU-seconds that the claim charged.
    """

    free_at: float
    model: int = NOTHING
    tenant: int = NOTHING
    cost_s: float = 0.0
    charged_s: float = 0.0


class Plan(NamedTuple):
    """A schedule up to a point in time.

    Attributes:
        started: number of started jobs, by queue: one for each tenant and model.
        passed_over_at: by tenant, when the job whose turn it is was first passed over.
        nodes: sorted.
        idle_since: time since which some node has been idle although jobs were queued.
    """

    now: float
    started: tuple[int, ...]
    vtimes: tuple[float, ...]
    passed_over_at: tuple[float, ...]
    nodes: tuple[BusyNode, ...]
    costs: tuple[float, ...]
    idle_since: float


class Found(NamedTuple):
    """The result of a search.

    Attributes:
        is_optimum: no plan was dropped, so no schedule that keeps the rules needs fewer loads.
    """

    loads: int
    is_optimum: bool


class Rules:
    """Which jobs may start next."""

    def __init__(self, workload: Workload, *, bound_s: float) -> None:
        self._workload, self._bound_s = workload, bound_s
        self._models, self._tenants = len(workload.models), len(workload.tenants)
        self.queues: list[list[int]] = [[] for _ in range(self._models * self._tenants)]
        for number, one in enumerate(workload.submissions):
            self.queues[one.tenant * self._models + one.model].append(number)
        self._times = [[workload.submissions[number].at for number in queue] for queue in self.queues]
        self._arrivals = sorted({one.at for one in workload.submissions})

    def begin(self) -> Plan:
        tenants = self._tenants
        nodes = tuple(BusyNode(0.0) for _ in self._workload.vram_gb)
        return Plan(0.0, (0,) * len(self.queues), (0.0,) * tenants, (NEVER,) * tenants, nodes, (), NEVER)

    def count_missing(self, plan: Plan) -> int:
        """Count the models of jobs that have not started that no node has loaded. Each is a load to come."""
        loaded = {node.model for node in plan.nodes}
        wanted = {
            queue % self._models
            for queue, count in enumerate(plan.started)
            if count < len(self.queues[queue]) and queue % self._models not in loaded
        }
        return len(wanted)

    def list_next(self, plan: Plan) -> Iterator[tuple[Plan, int, bool]]:
        """List the next plans, each with the loads that it adds and whether it starts a job."""
        queued = self._list_queued(plan)
        idle = {node.model: node for node in plan.nodes if node.free_at <= plan.now + ROUNDING}
        if not queued or not idle:
            yield self._advance(plan._replace(idle_since=NEVER), NEVER), 0, False
            return
        if plan.idle_since == NEVER:
            plan = plan._replace(idle_since=plan.now)
        latest = self._find_latest_wait(plan, queued)
        if latest > plan.now + ROUNDING and any(node.free_at > plan.now + ROUNDING for node in plan.nodes):
            yield self._advance(plan, latest), 0, False
        for queue, passed_over in self._list_allowed(plan, queued):
            model = queue % self._models
            nodes = [idle[model]] if model in idle else idle.values()
            for node in nodes:
                yield self._start(plan, node, queue, passed_over), int(node.model != model), True

    def _submission(self, plan: Plan, queue: int) -> Submission:
        return self._workload.submissions[self.queues[queue][plan.started[queue]]]

    def _list_queued(self, plan: Plan) -> list[int]:
        """List the queues that have submitted jobs that have not started."""
        return [
            queue
            for queue, count in enumerate(plan.started)
            if count < len(self._times[queue]) and self._times[queue][count] <= plan.now + ROUNDING
        ]

    def _find_latest_wait(self, plan: Plan, queued: Sequence[int]) -> float:
        """Find until when all idle nodes may leave all queued jobs to busy nodes that have loaded their models."""
        busy = {node.model for node in plan.nodes if node.free_at > plan.now + ROUNDING}
        latest = float("inf")
        for queue in queued:
            model = queue % self._models
            if model not in busy:
                return NEVER
            since = max(self._submission(plan, queue).at, plan.idle_since)
            latest = min(latest, since + self._workload.models[model].load_s)
        return latest

    def _list_allowed(self, plan: Plan, queued: Sequence[int]) -> Iterator[tuple[int, int]]:
        """List the queues whose first job may start, and the tenant whose job is passed over for it, if any."""
        by_tenant: dict[int, list[int]] = {}
        for queue in queued:
            by_tenant.setdefault(queue // self._models, []).append(queue)
        first = {
            tenant: min(queues, key=lambda one: self.queues[one][plan.started[one]])
            for tenant, queues in by_tenant.items()
        }
        due = min(by_tenant, key=lambda tenant: (plan.vtimes[tenant], tenant))
        if self._is_overdue(plan, due, first[due]):
            yield first[due], NOTHING
            return
        cost_s = self._estimate_cost(plan)
        for tenant, queues in by_tenant.items():
            if tenant != due and (
                self._is_overdue(plan, tenant, first[tenant])
                or not is_within_one_job(self._turn(plan, due), self._turn(plan, tenant), cost_s=cost_s)
            ):
                continue
            for queue in queues:
                yield queue, NOTHING if queue == first[due] else due

    def _is_overdue(self, plan: Plan, tenant: int, queue: int) -> bool:
        at = plan.passed_over_at[tenant]
        if at == NEVER:
            return is_overdue(0.0, 0.0, bound_s=self._bound_s)
        return is_overdue(plan.now - at, at - self._submission(plan, queue).at, bound_s=self._bound_s)

    def _turn(self, plan: Plan, tenant: int) -> TenantFairShare:
        one = self._workload.tenants[tenant]
        return TenantFairShare(_NO_ID, plan.vtimes[tenant], one.weight)

    def _estimate_cost(self, plan: Plan) -> float:
        return estimate_cost(sum(plan.costs) / len(plan.costs) if plan.costs else None)

    def _start(self, plan: Plan, node: BusyNode, queue: int, passed_over: int) -> Plan:
        tenant, model = divmod(queue, self._models)
        load_s = 0.0 if node.model == model else self._workload.models[model].load_s
        cost_s, charged_s = load_s + self._submission(plan, queue).run_s, self._estimate_cost(plan)
        vtimes, passed_over_at, started = list(plan.vtimes), list(plan.passed_over_at), list(plan.started)
        vtimes[tenant] += charged_s / self._workload.tenants[tenant].weight
        if passed_over != NOTHING and passed_over_at[passed_over] == NEVER:
            passed_over_at[passed_over] = plan.now
        if self._is_first(plan, queue):
            passed_over_at[tenant] = NEVER
        started[queue] += 1
        nodes = list(plan.nodes)
        nodes.remove(node)
        nodes.append(BusyNode(plan.now + cost_s + self._workload.gap_s, model, tenant, cost_s, charged_s))
        nodes.sort()
        return plan._replace(
            started=tuple(started), vtimes=tuple(vtimes), passed_over_at=tuple(passed_over_at), nodes=tuple(nodes)
        )

    def _is_first(self, plan: Plan, queue: int) -> bool:
        """Return whether the first job of this queue is the first of its tenant."""
        number = self.queues[queue][plan.started[queue]]
        tenant = queue // self._models
        return all(
            count >= len(self.queues[other]) or self.queues[other][count] >= number
            for other in range(tenant * self._models, (tenant + 1) * self._models)
            for count in (plan.started[other],)
        )

    def _advance(self, plan: Plan, latest: float) -> Plan:
        """Move to the next time at which a node is free or a job is submitted, or to ``latest``."""
        times = [node.free_at for node in plan.nodes if node.free_at > plan.now + ROUNDING]
        position = bisect_right(self._arrivals, plan.now + ROUNDING)
        times += self._arrivals[position : position + 1]
        times += [latest] if latest != NEVER else []
        now = min(times)
        vtimes, costs, nodes = list(plan.vtimes), list(plan.costs), []
        for node in plan.nodes:
            if node.tenant != NOTHING and node.free_at <= now + ROUNDING:
                weight = self._workload.tenants[node.tenant].weight
                vtimes[node.tenant] = max(0.0, vtimes[node.tenant] + (node.cost_s - node.charged_s) / weight)
                costs.append(node.cost_s)
                node = BusyNode(0.0, node.model)  # noqa: PLW2901 - idle nodes with one model are alike
            nodes.append(node)
        nodes.sort()
        self._lift_newcomers(plan, now, vtimes)
        return plan._replace(now=now, vtimes=tuple(vtimes), costs=tuple(costs[-MEAN_OF_JOBS:]), nodes=tuple(nodes))

    def _lift_newcomers(self, plan: Plan, now: float, vtimes: list[float]) -> None:
        """Raise the ``vtime`` of tenants that get their first queued job to the least of those with queued jobs."""
        before = {queue // self._models for queue in self._list_queued(plan)}
        after = {queue // self._models for queue in self._list_queued(plan._replace(now=now))}
        least = min((vtimes[tenant] for tenant in before), default=0.0)
        for tenant in after - before:
            vtimes[tenant] = max(vtimes[tenant], least)


_NO_ID = UUID(int=0)


def find_fewest_loads(workload: Workload, *, bound_s: float, at_most: int, width: int | None = None) -> Found:
    """Find the fewest loads that a schedule needs which keeps the rules.

    It looks at all plans with the same number of started jobs together, and forgets those that need as many loads as
    another one in the same state.

    Args:
        bound_s: ``SCHEDULER_WARM_BOUND_S``.
        at_most: loads of a known schedule.
        width: how many plans are kept for each number of started jobs, those that seem best. None: all. With fewer,
            the result is that of a schedule that keeps the rules, but maybe not the best.
    """
    rules, is_complete = Rules(workload, bound_s=bound_s), True
    layer = {rules.begin(): 0}
    for _ in workload.submissions:
        following: dict[Plan, int] = {}
        stack, seen = list(layer.items()), dict(layer)
        while stack:
            plan, loads = stack.pop()
            for after, added, is_start in rules.list_next(plan):
                total = loads + added
                if total + rules.count_missing(after) > at_most:
                    continue
                known = following if is_start else seen
                if known.get(after, total + 1) > total:
                    known[after] = total
                    if not is_start:
                        stack.append((after, total))
        if width is not None and len(following) > width:
            is_complete = False
            ranked = sorted(following.items(), key=lambda one: _rank(rules, *one))
            following = dict(ranked[:width])
        layer = following
    return Found(min(layer.values(), default=at_most), is_complete)


def _rank(rules: Rules, plan: Plan, loads: int) -> tuple[float, float]:
    """Rank a plan, best first: few loads, and many jobs left that need a loaded model."""
    loaded = {node.model for node in plan.nodes}
    models = len(rules.queues) // len(plan.vtimes)
    warm = sum(len(rules.queues[queue]) - count for queue, count in enumerate(plan.started) if queue % models in loaded)
    return loads + rules.count_missing(plan), -warm
