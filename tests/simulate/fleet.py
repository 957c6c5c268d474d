"""Runs jobs on simulated nodes in the order that a policy chooses: events in order of time, no I/O and no clock."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from uuid import UUID

from tests.simulate.workload import Model, Submission, Workload


@dataclass(eq=False, slots=True)
class Job:
    """A submitted job.

    Attributes:
        number: increases with the time of submission.
        passed_over_at: when another job was first started although it was the turn of this one.
    """

    number: int
    id: UUID
    submission: Submission
    is_started: bool = False
    passed_over_at: float | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Order within a tenant: highest priority, submitted first."""
        return -self.submission.priority, self.number


@dataclass(eq=False, slots=True)
class Node:
    """A node that runs one job at a time.

    Attributes:
        loaded: models in its memory, the one that was used last at the end.
        newest: model of its newest job.
    """

    number: int
    vram_gb: float
    free_gb: float
    loaded: dict[int, None] = field(default_factory=dict)
    newest: int | None = None

    def can_run(self, model: Model) -> bool:
        return model.size_gb <= self.vram_gb


class Policy(ABC):
    """Decides which job a node runs next. A policy starts jobs by ``fleet.start``."""

    name: str

    def __init__(self, fleet: "Fleet") -> None:
        self.fleet = fleet

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Queue a job."""

    @abstractmethod
    def claim(self, node: Node) -> None:
        """Start a job on a node that has just become idle, if there is one."""

    def finish(self, job: Job, node: Node) -> None:  # noqa: B027 - few policies need it
        """Handle the end of a job. Its node claims after the gap."""


@dataclass(slots=True)
class Ledger:
    """What happened to each job, by its number.

    Attributes:
        starts, ends: in seconds. A start includes the load.
        loads: seconds that its node needed to load the model; 0 if it had it loaded.
        swaps: whether another model had to leave the memory for it.
    """

    starts: list[float]
    ends: list[float]
    nodes: list[int]
    loads: list[float]
    swaps: list[bool]


class Fleet:
    """The state of the simulated fleet.

    Attributes:
        now: seconds since the beginning.
        idle: nodes without a job, by number, idle for longest first.
        idle_by_model: the same by the model of their newest job; empty groups are left out.
    """

    def __init__(self, workload: Workload) -> None:
        jobs = len(workload.submissions)
        self.workload, self.now = workload, 0.0
        self.nodes = [Node(number, vram_gb, vram_gb) for number, vram_gb in enumerate(workload.vram_gb)]
        self.idle = {node.number: node for node in self.nodes}
        self.idle_by_model: dict[int | None, dict[int, Node]] = {None: dict(self.idle)}
        self.ledger = Ledger([-1.0] * jobs, [-1.0] * jobs, [-1] * jobs, [0.0] * jobs, [False] * jobs)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()
        self._policy: Policy | None = None

    def run(self, build_policy: Callable[["Fleet"], Policy]) -> Ledger:
        """Run all jobs. Returns the ledger, in which every job has ended."""
        self._policy = policy = build_policy(self)
        events = self._events
        for number, submission in enumerate(self.workload.submissions):
            while events and events[0][0] <= submission.at:
                self.now, _, happen = heappop(events)
                happen()
            self.now = submission.at
            policy.submit(Job(number, UUID(int=number), submission))
        while events:
            self.now, _, happen = heappop(events)
            happen()
        lost = sum(end < 0 for end in self.ledger.ends)
        if lost:
            raise RuntimeError(f"Policy {policy.name} never started {lost} jobs.")
        return self.ledger

    def call_at(self, at: float, happen: Callable[[], None]) -> None:
        heappush(self._events, (at, next(self._sequence), happen))

    def start(self, job: Job, node: Node) -> None:
        """Start a job on an idle node, which loads the model first unless it has it."""
        model = self.workload.models[job.submission.model]
        if node.number not in self.idle or job.is_started or not node.can_run(model):
            raise RuntimeError(f"Job {job.number} cannot start on node {node.number}.")
        self._remove_idle(node)
        job.is_started = True
        load_s = self._use_model(node, job, model)
        gpu_s = load_s + job.submission.run_s
        ledger, number = self.ledger, job.number
        ledger.starts[number], ledger.ends[number] = self.now, self.now + gpu_s
        ledger.nodes[number], ledger.loads[number] = node.number, load_s
        self.call_at(self.now + gpu_s, lambda: self._finish(job, node))

    def _use_model(self, node: Node, job: Job, model: Model) -> float:
        """Move the model to the end of those loaded; returns the seconds to load it."""
        number = node.newest = job.submission.model
        if number in node.loaded:
            del node.loaded[number]
            node.loaded[number] = None
            return 0.0
        while node.free_gb < model.size_gb:
            oldest = next(iter(node.loaded))
            del node.loaded[oldest]
            node.free_gb += self.workload.models[oldest].size_gb
            self.ledger.swaps[job.number] = True
        node.loaded[number] = None
        node.free_gb -= model.size_gb
        return model.load_s

    def _finish(self, job: Job, node: Node) -> None:
        assert self._policy is not None
        self._policy.finish(job, node)
        self.call_at(self.now + self.workload.gap_s, lambda: self._free(node))

    def _free(self, node: Node) -> None:
        assert self._policy is not None
        self.idle[node.number] = node
        self.idle_by_model.setdefault(node.newest, {})[node.number] = node
        self._policy.claim(node)

    def _remove_idle(self, node: Node) -> None:
        del self.idle[node.number]
        group = self.idle_by_model[node.newest]
        del group[node.number]
        if not group:
            del self.idle_by_model[node.newest]
