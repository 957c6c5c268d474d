"""Measures queue, nodes and outbox periodically for metrics, so that a scrape reads nothing from the database."""

from chassis.database.postgres import Database
from chassis.messaging.outbox import OutboxRelay
from chassis.telemetry.metrics import Metrics
from contracts.auth.tiers import Tier
from contracts.metrics import JOBS, NODE_STATE, OUTBOX_OLDEST_SECONDS, QUEUE_OLDEST_SECONDS
from scheduler.store import nodes, stats
from scheduler.usecases.job_metrics import JobMetrics

MEASURE_EVERY_S = 10.0
NODE_STATES = ("online", "offline", "working", "cordoned", "blocked")


class FleetMeter:
    """Sets the gauges of the whole system. Every replica does; the cost does not grow with the number of jobs.

    Args:
        offline_after_s: a node without a heartbeat for this long is offline.
        forget_after_s: nodes that were last seen this long before the most recently seen node are ignored.
    """

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        metrics: Metrics,
        job_metrics: JobMetrics,
        *,
        offline_after_s: float,
        forget_after_s: float,
    ) -> None:
        self._database, self._relay, self._job_metrics = database, relay, job_metrics
        self._offline_after_s, self._forget_after_s = offline_after_s, forget_after_s
        self._jobs, self._oldest = metrics.gauge(JOBS), metrics.gauge(QUEUE_OLDEST_SECONDS)
        self._node_state, self._outbox = metrics.gauge(NODE_STATE), metrics.gauge(OUTBOX_OLDEST_SECONDS)
        self._nodes: set[str] = set()

    async def measure_fleet(self) -> None:
        """Measure the fleet once. Called by ``chassis.loop.Loop``."""
        async with self._database.connection() as connection:
            queue = {row["tier"]: row for row in await stats.count_queue(connection)}
            fleet = await nodes.list_nodes(
                connection, offline_after_s=self._offline_after_s, forget_after_s=self._forget_after_s
            )
        for tier in Tier:
            row = queue.get(tier.value)
            self._jobs.labels(tier.value, "queued").set(row["waiting"] if row else 0)
            self._jobs.labels(tier.value, "held").set(row["held"] if row else 0)
            self._jobs.labels(tier.value, "running").set(row["running"] if row else 0)
            self._oldest.labels(tier.value).set((row["oldest_wait_s"] if row else None) or 0)
        for node in fleet:
            online = node["online"]
            self._set_node(
                node["name"],
                online=online,
                offline=not online,
                working=node["job_id"] is not None,
                cordoned=node["cordoned_at"] is not None,
                blocked=online and node["blocked_since"] is not None,
            )
        names = {node["name"] for node in fleet}
        self._remove_node_metrics(self._nodes - names)
        self._job_metrics.set_nodes(names)
        self._outbox.set(await self._relay.measure_oldest_s())

    def _set_node(self, node: str, **states: bool) -> None:
        self._nodes.add(node)
        for state in NODE_STATES:
            self._node_state.labels(node, state).set(states[state])

    def _remove_node_metrics(self, forgotten: set[str]) -> None:
        for node in forgotten:
            self._nodes.remove(node)
            for state in NODE_STATES:
                self._node_state.remove(node, state)
