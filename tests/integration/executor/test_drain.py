"""An executor that gets SIGTERM finishes or releases its job, and takes no other."""

import signal

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.wire.errors import InvalidMessage
from tests.integration.executor.graphs import hello, slow
from tests.integration.executor.scripted import Scheduler

pytestmark = pytest.mark.usefixtures("gateway")


def runs(scheduler: Scheduler) -> bool:
    """Return whether the node executes the job."""
    return any(progress.node == "2" for progress in scheduler.progress)


@pytest.mark.requirement("O-13")
async def test_stopped_executor_finishes_its_job_and_requests_no_other(spawn_executor, scheduler) -> None:
    given = await scheduler.offer_job(slow(6))
    async with spawn_executor(ask_wait_s=5) as executor:
        await scheduler.until(lambda: runs(scheduler))
        await executor.send(signal.SIGTERM)
        await scheduler.until(lambda: scheduler.cancelled_work_requests)
        following = await scheduler.offer_job(hello())
        await executor.wait()
    assert [(finish.ref, finish.outcome) for finish in scheduler.finishes] == [(given.ref, Outcome.SUCCEEDED)]
    assert list(scheduler.offers) == [following]
    assert [hint.boot_id for hint in scheduler.cancelled_work_requests] == [scheduler.work_requests[-1].boot_id]


@pytest.mark.requirement("O-13")
@pytest.mark.parametrize("end", ["time_limit", "second_signal"])
async def test_stopped_executor_hands_back_a_job_that_does_not_end(spawn_executor, scheduler, node, end: str) -> None:
    given = await scheduler.offer_job(slow(60))
    async with spawn_executor(drain_s=0.2 if end == "time_limit" else 600) as executor:
        await scheduler.until(lambda: runs(scheduler))
        if end == "second_signal":
            await executor.send(signal.SIGTERM)
            await scheduler.until(lambda: scheduler.cancelled_work_requests)
        await executor.stop(signal.SIGTERM)
        assert [(finish.ref, finish.outcome) for finish in scheduler.finishes] == [(given.ref, Outcome.RELEASED)]
        await node.wait_until_ended(given.prompt_id)
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["outcome"] == "interrupted"
        await executor.start()  # the node was not lost: it runs other jobs
        following = await scheduler.offer_job(hello())
        assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED
    assert len(scheduler.finishes) == 2


@pytest.mark.requirement("O-13")
async def test_job_assigned_to_a_stopping_executor_is_handed_back_unstarted(spawn_executor, scheduler, node) -> None:
    async with spawn_executor(ask_wait_s=5) as executor:
        await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
        await scheduler.until(lambda: sum(request.held is None for request in scheduler.work_requests) > 1)
        scheduler.offer_when_cancelled = True
        await executor.stop(signal.SIGTERM)
    finish = scheduler.finishes[-1]
    assert (len(scheduler.finishes), finish.outcome, finish.gpu_seconds) == (2, Outcome.RELEASED, 0)
    assert await node.count_requests("POST /prompt") == 1


@pytest.mark.requirement("O-13")
async def test_released_attempt_becomes_a_node_fault_for_a_scheduler_that_refuses_it(spawn_executor, scheduler) -> None:
    given = await scheduler.offer_job(slow(60))
    scheduler.refuse = lambda finish: InvalidMessage() if finish.outcome is Outcome.RELEASED else None
    async with spawn_executor(drain_s=0) as executor:
        await scheduler.until(lambda: runs(scheduler))
        await executor.stop(signal.SIGTERM)
    assert [(finish.ref, finish.outcome) for finish in scheduler.finishes] == [(given.ref, Outcome.NODE_FAULT)]
