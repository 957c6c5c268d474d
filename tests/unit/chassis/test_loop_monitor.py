"""Reports about a blocked event loop."""

import asyncio
from time import monotonic

from structlog.testing import capture_logs

from chassis.telemetry.loop_monitor import DELAY_BUCKETS_S, STALL_S, EventLoopMonitor
from tests.kit.waiting import until


def test_event_loop_delays_are_counted_by_length() -> None:
    monitor = EventLoopMonitor()
    for late_s in (0.0001, 0.005, 0.02, 0.05, 60.0):
        monitor.record_delay(late_s, 0.01, now=1.0)
    assert sum(monitor.counts) == 5
    assert monitor.counts[0] == 2
    assert monitor.counts[DELAY_BUCKETS_S.index(0.025)] == 1
    assert monitor.counts[DELAY_BUCKETS_S.index(0.05)] == 1
    assert monitor.counts[-1] == 1


def test_longest_stall_is_kept_and_short_delays_are_ignored() -> None:
    monitor = EventLoopMonitor()
    for late_s in (0.049, 0.3, 0.06):
        monitor.record_delay(late_s, 0.01, now=1.0)
    assert (monitor.longest_s, monitor.stalls) == (0.3, 2)


def test_overloaded_service_warns_once_per_second() -> None:
    monitor = EventLoopMonitor()
    with capture_logs() as logs:
        for now in (1.0, 1.2, 1.9, 2.1, 2.2):
            monitor.record_delay(0.2, 0.01, now)
    warnings = [line for line in logs if line["event"] == "loop.stalled"]
    assert [(line["ms"], line["cpu_ms"], line["stalls"]) for line in warnings] == [(200.0, 10.0, 1), (200.0, 10.0, 4)]


async def test_loop_monitor_measures_only_within_its_block() -> None:
    monitor = EventLoopMonitor(every_s=0.001)

    async def measured() -> bool:
        return sum(monitor.counts) >= 3

    with monitor.measure():
        await until(measured)
    counted = sum(monitor.counts)
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, later.set)  # after all wake-ups still scheduled
    await later.wait()
    assert sum(monitor.counts) == counted


async def test_blocking_computation_is_measured_as_a_stall() -> None:
    monitor = EventLoopMonitor(every_s=0.001)

    async def noticed() -> bool:
        return monitor.stalls > 0

    with monitor.measure():
        until_then = monotonic() + STALL_S * 2
        while monotonic() < until_then:
            pass
        await until(noticed)
    assert monitor.longest_s >= STALL_S
