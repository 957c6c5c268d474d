"""Metrics of a process: periodic tasks, values kept elsewhere, and the server."""

import asyncio

import httpx
import pytest

from chassis.loop import Loop
from chassis.telemetry.metrics import Metrics
from contracts.metrics import METRICS, RPC_EXPIRED

SUCCESS = "comfyfleet_loop_last_success_timestamp_seconds"
LABELS = {"service": "auth", "loop": "auth.try"}


class Clock:
    """A Unix clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_loop_metric_shows_the_last_success_and_ignores_failures() -> None:
    clock, ran = Clock(), asyncio.Event()
    metrics = Metrics("auth", clock)
    fails = True

    async def duty() -> None:
        ran.set()
        if fails:
            raise ZeroDivisionError

    loop = Loop("auth.try", duty, every_s=3600)
    loop.start(metrics)
    clock.now = 2000.0
    await ran.wait()
    assert metrics.registry.get_sample_value(SUCCESS, LABELS) == 1000.0
    assert metrics.registry.get_sample_value("comfyfleet_loop_interval_seconds", LABELS) == 3600
    fails = False
    ran.clear()
    while metrics.registry.get_sample_value(SUCCESS, LABELS) != 2000.0:
        loop.wake()
        await asyncio.sleep(0)
    await loop.stop()
    assert ran.is_set()


async def test_loop_without_a_period_is_not_exported() -> None:
    ran = asyncio.Event()
    metrics = Metrics("executor")

    async def duty() -> None:
        ran.set()
        await asyncio.sleep(0)

    loop = Loop("executor.run", duty, every_s=0)
    loop.start(metrics)
    await ran.wait()
    await loop.stop()
    assert metrics.registry.get_sample_value(SUCCESS, {"service": "executor", "loop": "executor.run"}) is None


def test_metric_with_a_callback_is_read_at_each_scrape() -> None:
    metrics = Metrics("scheduler")
    values: dict[tuple[str, ...], float] = {("rpc.a",): 1.0}
    metrics.read_at_scrape(RPC_EXPIRED, lambda: values)
    assert metrics.registry.get_sample_value("comfyfleet_rpc_expired_total", {"topic": "rpc.a"}) == 1
    values[("rpc.a",)] = 3.0
    assert metrics.registry.get_sample_value("comfyfleet_rpc_expired_total", {"topic": "rpc.a"}) == 3


def test_metrics_are_served_and_a_taken_port_is_refused() -> None:
    metrics = Metrics("auth")
    metrics.record_rpc("rpc.a", "ok", 0.02)
    port = metrics.serve("127.0.0.1", 0)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'comfyfleet_rpc_seconds_count{outcome="ok",service="auth",topic="rpc.a"} 1.0' in text
    with pytest.raises(OSError):  # noqa: PT011 - its text depends on the system
        metrics.serve("127.0.0.1", port)


def test_declared_metrics_have_valid_types_and_no_label_that_identifies_a_user() -> None:
    metrics = Metrics("declared")
    common = {metric.name for metric in METRICS} - {
        family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()
    }
    for metric in METRICS:
        if metric.name in common:
            getattr(metrics, metric.kind)(metric)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert not {"tenant", "user", "job", "job_id", "tenant_id"} & set(metric.labels)
