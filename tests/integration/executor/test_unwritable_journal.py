"""An executor whose journal cannot be written takes no jobs, ends those that it has, and recovers by itself."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from contracts.scheduler.attempts import Outcome, RequestWork
from contracts.scheduler.heartbeats import OccupancyCause
from tests.integration.executor.graphs import hello, slow
from tests.integration.executor.processes import ForkedProcess
from tests.integration.executor.scripted import Scheduler
from tests.kit.full_disks import full_disk

pytestmark = pytest.mark.usefixtures("gateway")


@pytest.fixture
async def executor(spawn_executor) -> AsyncIterator[ForkedProcess]:
    async with spawn_executor(log=Path("/dev/null"), prefetch=True, prefetch_hold_s=600, heartbeat_s=0.2) as executor:
        yield executor


def is_blamed_on_the_journal(scheduler: Scheduler) -> bool:
    occupied = scheduler.heartbeats[-1].occupied
    return occupied is not None and occupied.by is OccupancyCause.JOURNAL


async def wait_for_heartbeats(scheduler: Scheduler, number: int = 5) -> None:
    known = len(scheduler.heartbeats)
    await scheduler.until(lambda: len(scheduler.heartbeats) >= known + number)


async def test_executor_with_a_full_disk_says_so_and_requests_no_work_until_it_can_write(executor, scheduler) -> None:
    await scheduler.until(lambda: scheduler.work_requests)
    with full_disk(executor.pid):
        await scheduler.until(lambda: is_blamed_on_the_journal(scheduler))
        asked = len(scheduler.work_requests)
        given = await scheduler.offer_job(hello())
        await wait_for_heartbeats(scheduler)
        assert len(scheduler.work_requests) == asked
        assert is_blamed_on_the_journal(scheduler)
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    await scheduler.until(lambda: scheduler.heartbeats[-1].occupied is None)


async def test_job_assigned_when_the_disk_is_full_is_handed_back_without_being_run(executor, scheduler, node) -> None:
    with ExitStack() as stack:

        async def fill_disk(message: Any) -> bool:
            if isinstance(message, RequestWork) and scheduler.offers:
                stack.enter_context(full_disk(executor.pid))
                scheduler.before = None
            return False

        scheduler.before = fill_disk
        given = await scheduler.offer_job(hello())
        finish = await scheduler.wait_for_finish(given)
        assert (finish.outcome, finish.gpu_seconds) == (Outcome.RELEASED, 0)
        await scheduler.until(lambda: is_blamed_on_the_journal(scheduler))
        assert (scheduler.current, await node.ledger(given.prompt_id)) == (None, [])
    following = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED
    assert [finish.ref for finish in scheduler.finishes] == [given.ref, following.ref]


async def test_running_job_succeeds_once_although_the_disk_becomes_full(executor, scheduler, gateway, node) -> None:
    given, next_one = await scheduler.offer_job(slow(3)), await scheduler.offer_job(hello())
    await scheduler.until(lambda: len(scheduler.starts) == 1 and scheduler.heartbeats[-1].other_attempt)
    with full_disk(executor.pid):
        finish, handed_back = await scheduler.wait_for_finish(given), await scheduler.wait_for_finish(next_one)
        assert (finish.outcome, len(finish.outputs)) == (Outcome.SUCCEEDED, 1)
        assert (handed_back.outcome, handed_back.gpu_seconds) == (Outcome.RELEASED, 0)
        await scheduler.until(lambda: is_blamed_on_the_journal(scheduler))
        await wait_for_heartbeats(scheduler)
    following = await scheduler.offer_job(slow(0))
    assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED
    assert sorted(map(str, (finish.ref for finish in scheduler.finishes))) == sorted(
        map(str, (given.ref, next_one.ref, following.ref))
    )
    assert (len(gateway.stored), await node.ledger(next_one.prompt_id)) == (2, [])


async def test_job_that_ended_while_the_disk_was_full_is_not_run_again_by_a_successor(
    executor, scheduler, node
) -> None:
    given = await scheduler.offer_job(slow(3))
    await scheduler.until(lambda: scheduler.starts)
    with full_disk(executor.pid):
        assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
        await scheduler.until(lambda: is_blamed_on_the_journal(scheduler))
        await executor.stop()
    await executor.start()
    following = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED
    assert len(await node.ledger(given.prompt_id)) == 1


async def test_heartbeats_reach_an_earlier_scheduler_that_does_not_know_unwritable_journals(
    executor, scheduler
) -> None:
    scheduler.knows_unwritable_journals = False
    await scheduler.until(lambda: scheduler.work_requests)
    with full_disk(executor.pid):
        asked = len(scheduler.work_requests)
        await wait_for_heartbeats(scheduler, 10)
        assert len(scheduler.work_requests) <= asked + 1
        assert scheduler.heartbeats[-1].occupied is None
