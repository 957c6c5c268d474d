"""Scheduling policies of textbooks and of other systems, to compare with the policy of our scheduler."""

from collections import deque
from heapq import heappop, heappush

from tests.simulate.fleet import Fleet, Job, Node, Policy
from tests.simulate.workload import Model


class FirstComeFirstServed(Policy):
    """First in first out: the oldest job goes to the node that has been idle longest."""

    name = "fifo"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._queue: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        for node in self.fleet.idle.values():
            if node.can_run(_model_of(self.fleet, job)):
                self.claim(node)
                return

    def claim(self, node: Node) -> None:
        job = _take_first(self.fleet, self._queue, node)
        if job is not None:
            self.fleet.start(job, node)


class RoundRobin(Policy):
    """Round-robin over tenants with queued jobs, ignoring weights; within a tenant, first in first out."""

    name = "round-robin"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._queues: dict[int, deque[Job]] = {}  # tenants with queued jobs; the next one is first

    def submit(self, job: Job) -> None:
        self._queues.setdefault(job.submission.tenant, deque()).append(job)
        for node in self.fleet.idle.values():
            if node.can_run(_model_of(self.fleet, job)):
                self.claim(node)
                return

    def claim(self, node: Node) -> None:
        for tenant, queue in self._queues.items():
            job = _take_first(self.fleet, queue, node)
            if job is not None:
                del self._queues[tenant]
                if queue:
                    self._queues[tenant] = queue
                self.fleet.start(job, node)
                return


class LeastLoaded(Policy):
    """Each job goes at once to the node with the fewest jobs, of equals to the one that got a job longest ago."""

    name = "least-loaded"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._queues: dict[int, deque[Job]] = {node.number: deque() for node in fleet.nodes}
        self._jobs = [0] * len(fleet.nodes)
        self._turns = list(range(len(fleet.nodes)))
        self._order = [(0, number, number) for number in self._turns]  # jobs, turn, node; entries may be outdated

    def submit(self, job: Job) -> None:
        model, skipped = _model_of(self.fleet, job), []
        while True:
            entry = heappop(self._order)
            jobs, turn, number = entry
            if (jobs, turn) != (self._jobs[number], self._turns[number]):
                continue
            if self.fleet.nodes[number].can_run(model):
                break
            skipped.append(entry)
        for entry in skipped:
            heappush(self._order, entry)
        self._turns[number] = len(self._turns) + job.number
        self._add(number, 1)
        self._queues[number].append(job)
        if number in self.fleet.idle:
            self.claim(self.fleet.nodes[number])

    def claim(self, node: Node) -> None:
        if self._queues[node.number]:
            self.fleet.start(self._queues[node.number].popleft(), node)

    def finish(self, job: Job, node: Node) -> None:  # noqa: ARG002 - any job of the node
        self._add(node.number, -1)

    def _add(self, number: int, jobs: int) -> None:
        self._jobs[number] += jobs
        heappush(self._order, (self._jobs[number], self._turns[number], number))


class Exhaustive(Policy):
    """Each node runs all queued jobs that need its loaded model, and then the oldest job, regardless of tenant.

    Models that no node has used last come first. It ignores tenants and weights, so it shows how few loads are possible
    for a policy that does not know the future.
    """

    name = "exhaustive"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._queues: dict[int, deque[Job]] = {}  # by model
        self._nodes = [0] * len(fleet.workload.models)  # by model, whose newest job needed it

    def submit(self, job: Job) -> None:
        model = job.submission.model
        self._queues.setdefault(model, deque()).append(job)
        for nodes in (self.fleet.idle_by_model.get(model, {}), self.fleet.idle):
            for node in nodes.values():
                if node.can_run(_model_of(self.fleet, job)):
                    self._start(model, node)
                    return

    def claim(self, node: Node) -> None:
        models = [one for one in self._queues if node.can_run(self.fleet.workload.models[one])]
        if node.newest in self._queues:
            self._start(node.newest, node)
        elif models:
            self._start(min(models, key=lambda one: (self._nodes[one] > 0, self._queues[one][0].number)), node)

    def _start(self, model: int, node: Node) -> None:
        queue = self._queues[model]
        job = queue.popleft()
        if not queue:
            del self._queues[model]
        if node.newest is not None:
            self._nodes[node.newest] -= 1
        self._nodes[model] += 1
        self.fleet.start(job, node)


PRESSURE_PER_REQUEST = 10.0
MIN_PRESSURE_S = 1.5
PRESSURE_LOOP_S = 1.0


class Pressure(Policy):
    """The rule by which SwarmUI chooses a backend, with one request per backend.

    A request goes to the first idle node that has its model. Otherwise the model with the highest pressure is loaded
    on the idle node that was used longest ago: pressure is ten for each waiting request and one for each second since
    the first of them came. Only one node at a time loads a model; and if several nodes are idle, the first request must
    have waited for 1.5 s. A loop looks at all requests after each event and each second.

    Source: ``src/Backends/BackendHandler.cs`` of mcmonkeyprojects/SwarmUI at 062407c7 (``ModelRequestPressure``,
    ``T2IBackendRequest.TryFind``, ``LoadHighestPressureNow``). Here a load belongs to the first request for that model.
    """

    name = "pressure"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._queues: dict[int, deque[Job]] = {}  # by model
        self._first_at: dict[int, float] = {}  # by model: since when its pressure grows
        self._loading_until: dict[int, float] = {}
        self._next_pass_at = -1.0

    def submit(self, job: Job) -> None:
        model = job.submission.model
        self._queues.setdefault(model, deque()).append(job)
        self._first_at.setdefault(model, self.fleet.now)
        self._run_pass()

    def claim(self, node: Node) -> None:  # noqa: ARG002 - all idle nodes are looked at
        self._run_pass()

    def _run_pass(self) -> None:
        if not self.fleet.idle or not self._queues:
            return
        may_load = True
        for model in sorted(self._queues, key=lambda one: self._queues[one][0].number):
            self._match_loaded(model)
            while may_load and model in self._queues:
                may_load = self._load_highest()
        if self._queues and self.fleet.idle and self._next_pass_at <= self.fleet.now:
            self._next_pass_at = self.fleet.now + PRESSURE_LOOP_S
            self.fleet.call_at(self._next_pass_at, self._run_pass)

    def _match_loaded(self, model: int) -> None:
        while model in self._queues and model in self.fleet.idle_by_model:
            self._start(model, next(iter(self.fleet.idle_by_model[model].values())))

    def _load_highest(self) -> bool:
        """Have one idle node load the model with the highest pressure. Returns whether any node did."""
        now, idle = self.fleet.now, self.fleet.idle
        waiting = [one for one in self._queues if self._loading_until.get(one, now) <= now]
        if not idle or not waiting:
            return False
        model = max(waiting, key=self._compute_pressure)
        if len(idle) > 1 and now - self._first_at[model] <= MIN_PRESSURE_S:
            return False
        size = self.fleet.workload.models[model]
        node = next((one for one in idle.values() if one.can_run(size) and one.newest != model), None)
        if node is None:
            return False
        self._loading_until[model] = now + size.load_s
        self._start(model, node)
        self.fleet.call_at(now + size.load_s, self._run_pass)
        return True

    def _compute_pressure(self, model: int) -> float:
        waited_s = int(self.fleet.now - self._first_at[model])
        return PRESSURE_PER_REQUEST * len(self._queues[model]) + waited_s

    def _start(self, model: int, node: Node) -> None:
        queue = self._queues[model]
        job = queue.popleft()
        if not queue:
            del self._queues[model], self._first_at[model]
        self.fleet.start(job, node)


def _model_of(fleet: Fleet, job: Job) -> Model:
    return fleet.workload.models[job.submission.model]


def _take_first(fleet: Fleet, queue: deque[Job], node: Node) -> Job | None:
    """Remove the first job that the node can run."""
    for position, job in enumerate(queue):
        if node.can_run(_model_of(fleet, job)):
            del queue[position]
            return job
    return None
