"""Metrics of nodes begin when a node joins and end when it is forgotten."""

from chassis.messaging.outbox import OutboxRelay
from chassis.telemetry.metrics import Metrics
from contracts.metrics import ATTEMPTS_ENDED, NODE_STATE, NODES_CORDONED
from contracts.scheduler.attempts import Outcome
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.measure_fleet import FleetMeter
from tests.integration.scheduler.conftest import World
from tests.kit.postgres import database_with_long_timeout

DAY_S = 86_400.0


def list_metrics_of_node(metrics: Metrics, node: str) -> set[str]:
    """List the names of the metrics that have a series of this node."""
    return {
        family.name
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("node") == node
    }


async def test_metrics_of_forgotten_nodes_are_removed(world: World) -> None:
    present, forgotten = await world.add_node(), await world.add_node()
    database, metrics = database_with_long_timeout(world.system.database_url, name="scheduler"), Metrics("scheduler")
    job_metrics = JobMetrics(metrics)
    relay = OutboxRelay(database, world.system.bus)
    meter = FleetMeter(database, relay, metrics, job_metrics, offline_after_s=60, forget_after_s=DAY_S)
    everything = {metric.name.removesuffix("_total") for metric in (ATTEMPTS_ENDED, NODE_STATE, NODES_CORDONED)}
    try:
        await meter.measure_fleet()
        job_metrics.count_attempt(forgotten.name, Outcome.SUCCEEDED)
        assert list_metrics_of_node(metrics, forgotten.name) == everything
        await world.system.sql.execute(
            "UPDATE nodes SET seen_at = now() - interval '2 days' WHERE name = $1", forgotten.name
        )
        job_metrics.count_attempt("forgotten-before", Outcome.NODE_FAULT)
        await meter.measure_fleet()
    finally:
        await database.close()
    assert list_metrics_of_node(metrics, present.name) == everything
    assert list_metrics_of_node(metrics, forgotten.name) == set()
    assert list_metrics_of_node(metrics, "forgotten-before") == set()
