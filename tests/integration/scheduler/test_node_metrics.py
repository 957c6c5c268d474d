"""Metrics of nodes begin when a node joins and end when it is forgotten."""

import pytest
from structlog.testing import capture_logs

from chassis.messaging.outbox import OutboxRelay
from chassis.telemetry.metrics import Metrics
from contracts.metrics import ATTEMPTS_ENDED, DUPLICATE_EXECUTORS, NODE_STATE, NODES_CORDONED
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import Heartbeat
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.measure_fleet import FleetMeter
from scheduler.usecases.record_heartbeats import HeartbeatRecorder
from tests.integration.scheduler.conftest import Node, World
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
    of_nodes = (ATTEMPTS_ENDED, NODE_STATE, NODES_CORDONED, DUPLICATE_EXECUTORS)
    everything = {metric.name.removesuffix("_total") for metric in of_nodes}
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


@pytest.mark.requirement("F-38")
async def test_two_executors_of_one_node_are_counted_and_logged(world: World) -> None:
    first = await world.add_node()
    second = Node(world.system, first.name, first.models)
    database, metrics = database_with_long_timeout(world.system.database_url, name="scheduler"), Metrics("scheduler")
    recorder = HeartbeatRecorder(
        database,
        FleetState(database, offline_after_s=60, forget_after_s=DAY_S, catalog_grace_s=0),
        LoadedModels(forget_after_s=DAY_S),
        lease_s=15,
        forget_after_s=DAY_S,
        node_attempts=2,
        metrics=JobMetrics(metrics),
    )

    async def hear(*executors: Node) -> float | None:
        for executor in executors:
            heartbeat = Heartbeat(
                boot_id=executor.boot_id, online=True, catalog_digest=first.models.digest, attempt=None
            )
            await recorder.record_heartbeat(first.name, heartbeat)
        return metrics.registry.get_sample_value(DUPLICATE_EXECUTORS.name, {"node": first.name})

    try:
        assert await hear(first, first, second, first, second) is None, "a late heartbeat of the first one"
        with capture_logs() as lines:
            assert await hear(first, second, second) == 2
    finally:
        await database.close()
    (line,) = [line for line in lines if line["event"] == "scheduler.node.duplicate_executor"]
    assert (line["log_level"], line["node"]) == ("error", first.name)
