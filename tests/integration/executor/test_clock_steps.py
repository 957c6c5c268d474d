"""A step of the machine's wall clock neither ends an attempt nor adds to the GPU-seconds that it is charged."""

import time

import pytest

from contracts.scheduler.attempts import Outcome
from tests.integration.executor.graphs import slow

pytestmark = pytest.mark.usefixtures("gateway")

STEP_S = 3_600.0


class SteppedClock:
    """A wall clock that a test can move forward or backward."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def __call__(self) -> float:
        return time.time() + self._offset_s

    def step(self, seconds: float) -> None:
        self._offset_s += seconds


@pytest.mark.parametrize("step_s", [STEP_S, -STEP_S])
async def test_job_within_its_time_limit_succeeds_although_the_wall_clock_steps(
    start_executor, scheduler, step_s
) -> None:
    clock = SteppedClock()
    await start_executor(wall_clock=clock)
    began = time.monotonic()
    given = await scheduler.offer_job(slow(3), run_within_s=STEP_S / 2)
    await scheduler.until(lambda: scheduler.starts)
    clock.step(step_s)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error) == (Outcome.SUCCEEDED, None)
    assert 2 < finish.gpu_seconds < time.monotonic() - began


async def test_cancelled_job_is_not_charged_for_a_step_of_the_wall_clock(start_executor, scheduler) -> None:
    clock = SteppedClock()
    await start_executor(wall_clock=clock)
    began = time.monotonic()
    given = await scheduler.offer_job(slow(60))
    await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
    clock.step(STEP_S)
    await scheduler.hint_cancel(given)
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.CANCELLED
    assert 0 < finish.gpu_seconds < time.monotonic() - began
