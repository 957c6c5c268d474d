"""Counts claims, ended jobs and attempts, and measures how long jobs wait."""

from collections.abc import Set

from chassis.telemetry.metrics import Metrics
from contracts.auth.tiers import Tier
from contracts.metrics import ATTEMPTS_ENDED, CLAIMS, DUPLICATE_EXECUTORS, JOB_WAIT_SECONDS, JOBS_ENDED, NODES_CORDONED
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.jobs import FINAL_STATES, JOB_ERRORS
from scheduler.domain.settlement import WITHDRAWN
from scheduler.domain.states import Cause, is_final
from scheduler.store.transitions import Transition

LAPSED, OVERTIME = "lapsed", "overtime"
OUTCOMES = (*(outcome.value for outcome in Outcome), LAPSED, OVERTIME, WITHDRAWN)
NO_ERROR, OTHER = "none", "other"
CLAIM_OUTCOMES = ("leased", "renewed", "nothing", "restricted", "contended")


class JobMetrics:
    """Counts what this replica has committed. The sum over all replicas is the total."""

    def __init__(self, metrics: Metrics) -> None:
        self._ended, self._attempts = metrics.counter(JOBS_ENDED), metrics.counter(ATTEMPTS_ENDED)
        self._wait, self._cordons = metrics.histogram(JOB_WAIT_SECONDS), metrics.counter(NODES_CORDONED)
        self._duplicates = metrics.counter(DUPLICATE_EXECUTORS)
        claims = metrics.counter(CLAIMS)
        self._claims = {outcome: claims.labels(outcome) for outcome in CLAIM_OUTCOMES}
        self._nodes: set[str] = set()
        for tier in Tier:  # a series that begins at 0 shows its first increase
            self._wait.labels(tier.value)
            for state in FINAL_STATES:
                self._ended.labels(tier.value, state.value, NO_ERROR)

    def count_transition(self, transition: Transition) -> None:
        """Count a committed transition: the end of a job, and the wait for its first attempt."""
        event, tier = transition.event, transition.tier
        if is_final(event.state):
            code = event.error.code if event.error else NO_ERROR
            known = code in JOB_ERRORS or code == NO_ERROR  # executors choose the codes
            self._ended.labels(tier, event.state.value, code if known else OTHER).inc()
        elif event.cause == Cause.CLAIMED and event.attempt == 1:
            self._wait.labels(tier).observe(max(0.0, transition.waited_s))

    def count_claim(self, outcome: str) -> None:
        """Count a claim of a job for a node. ``outcome`` is one of ``CLAIM_OUTCOMES``."""
        self._claims[outcome].inc()

    def count_attempt(self, node: str, outcome: str) -> None:
        """Count a committed end of an attempt. ``outcome`` is one of ``OUTCOMES``."""
        self._add_node(node)
        self._attempts.labels(node, outcome).inc()

    def count_cordon(self, node: str) -> None:
        """Count a node that the scheduler cordoned by itself."""
        self._add_node(node)
        self._cordons.labels(node).inc()

    def count_duplicate_executor(self, node: str) -> None:
        """Count a heartbeat that shows that two executors have this node name."""
        self._add_node(node)
        self._duplicates.labels(node).inc()

    def set_nodes(self, nodes: Set[str]) -> None:
        """Begin the series of new nodes at 0, and remove those of all nodes that are not among these."""
        for node in self._nodes - nodes:
            self._nodes.remove(node)
            self._cordons.remove(node)
            self._duplicates.remove(node)
            for outcome in OUTCOMES:
                self._attempts.remove(node, outcome)
        for node in nodes:
            self._add_node(node)

    def _add_node(self, node: str) -> None:
        if node not in self._nodes:
            self._nodes.add(node)
            self._cordons.labels(node)
            self._duplicates.labels(node)
            for outcome in OUTCOMES:
                self._attempts.labels(node, outcome)
