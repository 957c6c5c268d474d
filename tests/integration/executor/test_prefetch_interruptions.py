"""An executor with several attempts is killed, cancelled or drained at each message that it sends to the scheduler."""

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.scheduler.attempts import Assignment, FinishAttempt, Outcome, RequestWork, StartAttempt
from tests.integration.executor.graphs import slow
from tests.integration.executor.processes import Node
from tests.integration.executor.scripted import Gateway, Scheduler

pytestmark = [pytest.mark.usefixtures("gateway"), pytest.mark.requirement("F-114")]

MOMENTS = (
    "request of the second",
    "start of the first",
    "end of the first",
    "start of the second",
    "end of the second",
)
MOMENTS_OF_A_THIRD = ("request of the third", "start of the third")
ORDINALS = ("first", "second", "third")
RUN_S = 0.4

Interrupt = Callable[[], Awaitable[Any]]


class InterruptedOnce:
    """Calls ``interrupt`` once, at the first message of a given kind.

    Args:
        is_lost: whether that message, or its reply, is lost.
    """

    def __init__(self, moment: str, jobs: tuple[Assignment, ...], interrupt: Interrupt, *, is_lost: bool) -> None:
        self._moment, self._jobs, self._interrupt = moment, jobs, interrupt
        self._is_lost, self._is_reached, self.is_done = is_lost, False, False

    async def handle(self, message: Any) -> bool:
        if self._is_reached or not self._is_due(message):
            return False
        self._is_reached = True
        await self._interrupt()
        self.is_done = True
        return self._is_lost

    def _is_due(self, message: Any) -> bool:
        if self._moment == "request of the second":
            return isinstance(message, RequestWork) and message.held is not None
        if self._moment == "request of the third":
            return isinstance(message, RequestWork) and bool(message.also_held)
        kind = StartAttempt if self._moment.startswith("start") else FinishAttempt
        job = self._jobs[ORDINALS.index(self._moment.rpartition(" ")[2])]
        return isinstance(message, kind) and message.ref == job.ref


async def offer_two_jobs(scheduler: Scheduler) -> tuple[Assignment, Assignment]:
    return await scheduler.offer_job(slow(RUN_S)), await scheduler.offer_job(slow(RUN_S))


async def read_outcomes(node: Node, job: Assignment) -> list[str]:
    """Return how each run of the job on the node ended."""
    return [entry["outcome"] for entry in await node.ledger(job.prompt_id)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_running_and_prefetched_job_run_once_when_the_executor_is_killed(
    spawn_executor, scheduler: Scheduler, node: Node, moment: str, when: str
) -> None:
    jobs = await offer_two_jobs(scheduler)
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        interrupted = InterruptedOnce(moment, jobs, lambda: executor.stop(signal.SIGKILL), is_lost=True)
        setattr(scheduler, when, interrupted.handle)
        await scheduler.notify()
        await scheduler.until(lambda: interrupted.is_done)
        await executor.start()
        for job in jobs:
            assert (await scheduler.wait_for_finish(job)).outcome is Outcome.SUCCEEDED
            assert await read_outcomes(node, job) == ["success"]
    assert (await node.request("GET", "/simnode/ledger"))["max_running"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS_OF_A_THIRD)
async def test_each_of_three_jobs_runs_only_once_if_the_executor_is_killed_while_storing_outputs(
    spawn_executor, scheduler: Scheduler, gateway: Gateway, node: Node, *, moment: str, when: str
) -> None:
    scheduler.max_attempts, gateway.holds_uploads = 3, True
    jobs = tuple([await scheduler.offer_job(slow(RUN_S)) for _ in range(3)])
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        interrupted = InterruptedOnce(moment, jobs, lambda: executor.stop(signal.SIGKILL), is_lost=True)
        setattr(scheduler, when, interrupted.handle)
        await scheduler.notify()
        await scheduler.until(lambda: interrupted.is_done)
        assert not scheduler.finishes
        await gateway.store_held_uploads()
        await executor.start()
        for job in jobs:
            assert (await scheduler.wait_for_finish(job)).outcome is Outcome.SUCCEEDED
            assert await read_outcomes(node, job) == ["success"]
    assert (await node.request("GET", "/simnode/ledger"))["max_running"] == 1


@pytest.mark.parametrize(
    ("moment", "cancelled"),
    [
        ("request of the second", "second"),
        ("start of the first", "first"),
        ("end of the first", "second"),
        ("start of the second", "first"),
    ],
)
async def test_cancelling_the_running_or_prefetched_job_does_not_disturb_the_other(
    start_executor, scheduler: Scheduler, node: Node, moment: str, cancelled: str
) -> None:
    jobs = await offer_two_jobs(scheduler)
    target, other = jobs if cancelled == "first" else jobs[::-1]
    interrupted = InterruptedOnce(moment, jobs, lambda: scheduler.hint_cancel(target), is_lost=False)
    scheduler.after = interrupted.handle
    await start_executor(prefetch=True, prefetch_hold_s=600)
    assert (await scheduler.wait_for_finish(other)).outcome is Outcome.SUCCEEDED
    assert await read_outcomes(node, other) == ["success"]
    assert (await scheduler.wait_for_finish(target)).outcome in {Outcome.CANCELLED, Outcome.SUCCEEDED}
    assert len(await read_outcomes(node, target)) <= 1
    assert interrupted.is_done


@pytest.mark.parametrize("moment", ["start of the first", "end of the first"])
async def test_drained_executor_runs_or_hands_back_each_job(
    spawn_executor, scheduler: Scheduler, node: Node, moment: str
) -> None:
    jobs = await offer_two_jobs(scheduler)
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        interrupted = InterruptedOnce(moment, jobs, scheduler.notify, is_lost=False)
        scheduler.after = interrupted.handle
        await scheduler.until(lambda: interrupted.is_done and not scheduler.offers)
        await executor.stop(signal.SIGTERM)
    for job, may_be_released in zip(jobs, (False, True), strict=True):
        ended = ((await scheduler.wait_for_finish(job)).outcome, await read_outcomes(node, job))
        assert ended == (Outcome.SUCCEEDED, ["success"]) or (may_be_released and ended == (Outcome.RELEASED, []))
