"""An executor prefetches the next job while the node runs one. It posts only one prompt at a time to the node."""

import signal
from time import monotonic

import pytest

from contracts.scheduler.attempts import Assignment, AttemptRef, Outcome
from contracts.scheduler.heartbeats import Heartbeat, LeaseState
from contracts.wire.errors import InvalidMessage
from tests.integration.executor.graphs import hello, killing, picture, slow
from tests.integration.executor.scripted import Scheduler
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")


def is_running(scheduler: Scheduler, given: Assignment) -> bool:
    """Return whether the node executes the slow part of the job."""
    return any(progress.node == "2" and progress.job_id == given.ref.job_id for progress in scheduler.progress)


def is_prefetched(scheduler: Scheduler, given: Assignment) -> bool:
    """Return whether the executor's latest heartbeat lists the job as prefetched."""
    beat = scheduler.heartbeats[-1]
    return beat.other_attempt == given.ref and beat.attempt is not None


def list_attempts(beat: Heartbeat) -> list[AttemptRef]:
    return [ref for ref in (beat.attempt, beat.other_attempt, *beat.further_attempts) if ref is not None]


def build_next_attempt(given: Assignment) -> Assignment:
    """Return the attempt that the scheduler would create for a retry of the job."""
    return given.model_copy(update={"ref": given.ref.model_copy(update={"attempt": given.ref.attempt + 1})})


async def run_and_prefetch(scheduler: Scheduler, *, seconds: float = 60) -> tuple[Assignment, Assignment]:
    """Wait until the executor runs a slow job and has prefetched another one."""
    first, second = await scheduler.offer_job(slow(seconds)), await scheduler.offer_job(hello())
    await scheduler.until(lambda: is_running(scheduler, first) and is_prefetched(scheduler, second))
    return first, second


async def wait_for_heartbeats(scheduler: Scheduler, number: int) -> None:
    """Wait for ``number`` more heartbeats, long enough for a wrong action of the executor to show."""
    count = len(scheduler.heartbeats)
    await scheduler.until(lambda: len(scheduler.heartbeats) >= count + number)


@pytest.mark.requirement("F-114")
async def test_prefetched_job_starts_while_outputs_of_the_previous_job_are_reported(
    start_executor, scheduler, node
) -> None:
    began = monotonic()
    first, second, third = [await scheduler.offer_job(slow(seconds)) for seconds in (0.5, 5, 0.5)]
    scheduler.delayed_finish = first.ref.job_id
    await start_executor(prefetch=True, prefetch_hold_s=600)
    await scheduler.until(lambda: len(scheduler.starts) == 2 and scheduler.finishes)
    assert [start.ref for start in scheduler.starts] == [first.ref, second.ref]
    assert [finish.ref for finish in scheduler.finishes] == [first.ref]
    assert scheduler.offers[0] == third  # a node holds two attempts at most
    (report,) = scheduler.finishes
    assert report.request is not None
    assert report.request.held == second.ref  # the next job is requested with the end of the first
    asked = len(scheduler.work_requests)
    scheduler.delayed_finish = None
    await scheduler.notify()
    await scheduler.until(lambda: not scheduler.offers)
    assert [ask.held for ask in scheduler.work_requests[asked:]] == [second.ref]
    for given in (first, second, third):
        finish = await scheduler.wait_for_finish(given)
        assert (finish.outcome, len(finish.outputs)) == (Outcome.SUCCEEDED, 1)
        assert 0.4 < finish.gpu_seconds < monotonic() - began
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["outcome"] == "success"
    assert {ask.held for ask in scheduler.work_requests} >= {None, first.ref, second.ref}


@pytest.mark.requirement("F-114")
async def test_prefetched_job_is_posted_before_the_history_of_the_previous_prompt_exists(
    start_executor, scheduler, node
) -> None:
    await node.arm_fault("history_held")
    await start_executor(prefetch=True, prefetch_hold_s=600)
    first, second = [await scheduler.offer_job(slow(0.5)) for _ in range(2)]

    async def is_posted() -> bool:
        return bool(await node.ledger(second.prompt_id))

    await until(is_posted)
    (entry,) = await node.ledger(first.prompt_id)
    assert entry["finished"] is None

    async def has_fault_fired() -> bool:
        return bool(await node.count_fault_occurrences("history_held") == 1)

    await until(has_fault_fired)  # the node reports success a moment before it publishes the entry
    await node.request("DELETE", "/simnode/faults?name=history_held")
    for given in (first, second):
        assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-114")
@pytest.mark.parametrize("version", ["same", "earlier", "earliest"])
async def test_node_runs_one_job_and_holds_another_while_outputs_of_a_third_are_stored(
    start_executor, scheduler, gateway, node, version: str
) -> None:
    scheduler.max_attempts, gateway.holds_uploads = 3, True
    scheduler.allows_two_attempts_only = version == "earliest"  # like an older scheduler during an upgrade
    scheduler.knows_left_attempts = version == "same"
    seconds = (0.5,) * 4 if version == "earliest" else (0.5, 5, 5, 0.5)  # heartbeats report the second and the third
    given = [await scheduler.offer_job(slow(one)) for one in seconds]
    refs = [one.ref for one in given]
    await start_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1)
    await scheduler.until(lambda: is_running(scheduler, given[1]))
    if version != "earliest":
        await scheduler.until(lambda: list_attempts(scheduler.heartbeats[-1]) == [refs[1], refs[0], refs[2]])
        assert [ask.all_held for ask in scheduler.work_requests[-1:]] == [(refs[1], refs[0])]
        await scheduler.until(lambda: scheduler.starts[-1].ref == refs[2])
        await scheduler.until(lambda: list_attempts(scheduler.heartbeats[-1]) == [refs[2], refs[0], refs[1]])
        if version == "same":
            await scheduler.until(lambda: {refs[0].job_id, refs[1].job_id} <= {*scheduler.heartbeats[-1].left_node})
        assert list(scheduler.offers) == [given[3]]  # three attempts at most
    else:
        await scheduler.until(lambda: all(ref in list_attempts(scheduler.heartbeats[-1]) for ref in refs[:2]))
    await gateway.store_held_uploads()
    for one in given:
        assert (await scheduler.wait_for_finish(one)).outcome is Outcome.SUCCEEDED
        assert len(await node.ledger(one.prompt_id)) == 1
    assert (await node.request("GET", "/simnode/ledger"))["max_running"] == 1


@pytest.mark.requirement("F-114")
@pytest.mark.parametrize("why", ["cancelled", "released", "held_too_long"])
async def test_cancelled_prefetched_job_ends_without_touching_the_running_prompt(
    start_executor, scheduler, node, why: str
) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=1 if why == "held_too_long" else 600)
    first, second = await scheduler.offer_job(slow(8)), await scheduler.offer_job(hello())
    if why != "held_too_long":
        await scheduler.until(lambda: is_running(scheduler, first) and is_prefetched(scheduler, second))
    if why == "cancelled":
        await scheduler.hint_cancel(build_next_attempt(first))  # ignored: the executor does not have this attempt
        await scheduler.hint_cancel(second)
    elif why == "released":
        await scheduler.hint_release(build_next_attempt(second))
        await scheduler.hint_release(first)  # ignored: the job has started
        await scheduler.hint_release(second)
    ended = await scheduler.wait_for_finish(second)
    expected = Outcome.CANCELLED if why == "cancelled" else Outcome.RELEASED
    assert (ended.outcome, ended.gpu_seconds, first.ref.job_id in scheduler.finished_at) == (expected, 0, False)
    third = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(first)).outcome is Outcome.SUCCEEDED
    assert (await scheduler.wait_for_finish(third)).outcome is Outcome.SUCCEEDED
    assert await node.ledger(second.prompt_id) == []
    assert [await node.count_requests(f"POST {path}") for path in ("/interrupt", "/queue")] == [0, 0]


@pytest.mark.requirement("F-114")
@pytest.mark.parametrize("lease", [LeaseState.CANCELLED, LeaseState.LOST])
async def test_heartbeat_reply_about_the_prefetched_job_does_not_affect_the_running_one(
    start_executor, scheduler, node, lease: LeaseState
) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600)
    first, second = await run_and_prefetch(scheduler)
    scheduler.leases[second.ref.job_id] = lease
    if lease is LeaseState.LOST:
        scheduler.assigned.remove(second)
    await scheduler.until(lambda: list_attempts(scheduler.heartbeats[-1]) == [first.ref])
    ended = [(finish.ref, finish.outcome) for finish in scheduler.finishes]
    assert ended == ([(second.ref, Outcome.CANCELLED)] if lease is LeaseState.CANCELLED else [])
    await scheduler.hint_cancel(first)
    assert (await scheduler.wait_for_finish(first)).outcome is Outcome.CANCELLED
    assert len(await node.ledger(first.prompt_id)) == 1
    assert await node.ledger(second.prompt_id) == []


@pytest.mark.requirement("F-114")
async def test_hint_about_another_attempt_of_the_prefetched_job_is_ignored(start_executor, scheduler) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1)
    first, second = await run_and_prefetch(scheduler)
    await scheduler.hint_release(build_next_attempt(second))
    await scheduler.hint_cancel(build_next_attempt(second))
    await wait_for_heartbeats(scheduler, 5)
    await scheduler.hint_cancel(first)
    assert (await scheduler.wait_for_finish(second)).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-114")
async def test_executor_rarely_requests_a_job_to_prefetch_while_there_is_none(start_executor, scheduler) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1)
    first = await scheduler.offer_job(slow(60))
    await scheduler.until(lambda: is_running(scheduler, first))
    asked = len(scheduler.work_requests)
    await wait_for_heartbeats(scheduler, 20)
    assert len(scheduler.work_requests) - asked <= 10  # ten requests would take more than 30 s


@pytest.mark.requirement("F-114")
async def test_wait_behind_the_running_job_is_not_charged_to_the_prefetched_one(
    start_executor, scheduler, node
) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600)
    await scheduler.offer_job(slow(6))
    second = await scheduler.offer_job(slow(60))
    await scheduler.until(lambda: is_running(scheduler, second))
    await scheduler.hint_cancel(second)
    finish = await scheduler.wait_for_finish(second)
    (entry,) = await node.ledger(second.prompt_id)
    assert finish.outcome is Outcome.CANCELLED
    # A process may have been paused for 2 s between the start or end of the prompt and its record in the ledger.
    assert finish.gpu_seconds < entry["finished"] - entry["started"] + 4


@pytest.mark.requirement("F-114")
async def test_prefetched_job_is_handed_back_if_the_prompt_before_it_cannot_be_stopped(
    start_executor, scheduler, node
) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600, stalled_s=600, dead_worker_s=600, stop_within_s=0.5)
    first, second = await scheduler.offer_job(killing("SimKillWorker")), await scheduler.offer_job(hello())
    await scheduler.until(lambda: scheduler.starts and is_prefetched(scheduler, second))
    await scheduler.hint_cancel(first)
    assert (await scheduler.wait_for_finish(first)).outcome is Outcome.CANCELLED
    finish = await scheduler.wait_for_finish(second)
    assert (finish.outcome, finish.gpu_seconds, finish.node_died) == (Outcome.RELEASED, 0, False)
    assert await node.ledger(second.prompt_id) == []


@pytest.mark.requirement("F-114")
async def test_prefetched_job_runs_after_the_cancelled_job_before_it_is_stopped(
    start_executor, scheduler, node
) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600)
    first, second = await run_and_prefetch(scheduler)
    await scheduler.hint_cancel(first)
    assert (await scheduler.wait_for_finish(first)).outcome is Outcome.CANCELLED
    assert (await scheduler.wait_for_finish(second)).outcome is Outcome.SUCCEEDED
    (entry,) = await node.ledger(first.prompt_id)
    assert entry["outcome"] == "interrupted"


@pytest.mark.requirement("F-114")
async def test_stopping_executor_hands_back_the_prefetched_job_and_finishes_the_running_one(
    spawn_executor, scheduler, node
) -> None:
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        first, second = await run_and_prefetch(scheduler, seconds=8)
        await executor.stop(signal.SIGTERM)
    assert [(finish.ref, finish.outcome) for finish in scheduler.finishes] == [
        (second.ref, Outcome.RELEASED),
        (first.ref, Outcome.SUCCEEDED),
    ]
    assert await node.ledger(second.prompt_id) == []


@pytest.mark.requirement("F-114")
@pytest.mark.parametrize("moment", ["held", "started"])
async def test_restarted_executor_reports_running_and_prefetched_job_once(
    spawn_executor, scheduler, node, moment: str
) -> None:
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        if moment == "held":
            first, second = await run_and_prefetch(scheduler, seconds=8)
        else:
            first, second = await scheduler.offer_job(slow(0.5)), await scheduler.offer_job(slow(8))
            scheduler.delayed_finish = first.ref.job_id
            await scheduler.until(lambda: is_running(scheduler, second))
        await executor.stop(signal.SIGKILL)
        scheduler.delayed_finish = None
        beats = len(scheduler.heartbeats)
        await executor.start()
        await scheduler.until(lambda: len(scheduler.heartbeats) > beats)
        beat = scheduler.heartbeats[beats]
        assert {beat.attempt, beat.other_attempt} == {first.ref, second.ref}
        for given in (first, second):
            assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
            (entry,) = await node.ledger(given.prompt_id)
            assert entry["outcome"] == "success"


@pytest.mark.requirement("F-114")
async def test_restarted_executor_posts_no_prompt_before_it_has_adopted_the_running_one(
    spawn_executor, scheduler, node
) -> None:
    unused = {str(number): picture() for number in range(10, 2_000)}  # graph nodes without an output are not executed
    async with spawn_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1) as executor:
        first = await scheduler.offer_job(slow(60) | unused)  # this graph takes longer to read than the other
        second = await scheduler.offer_job(hello())
        await scheduler.until(lambda: is_running(scheduler, first) and is_prefetched(scheduler, second))
        await executor.stop(signal.SIGKILL)
        await executor.start()
        await wait_for_heartbeats(scheduler, 5)
        assert await node.ledger(second.prompt_id) == []
        await scheduler.hint_cancel(first)
        assert (await scheduler.wait_for_finish(first)).outcome is Outcome.CANCELLED
        assert (await scheduler.wait_for_finish(second)).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-114")
async def test_job_with_a_refused_report_is_not_prefetched_again(start_executor, scheduler, node) -> None:
    first, second = await scheduler.offer_job(slow(0.5)), await scheduler.offer_job(slow(60))
    scheduler.refuse = lambda finish: InvalidMessage() if finish.ref == first.ref else None
    await start_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1)
    await scheduler.until(lambda: any(ask.all_held == (second.ref,) for ask in scheduler.work_requests))
    await wait_for_heartbeats(scheduler, 5)
    assert list_attempts(scheduler.heartbeats[-1]) == [second.ref]
    scheduler.refuse = None
    await scheduler.hint_cancel(second)
    assert (await scheduler.wait_for_finish(first)).outcome is Outcome.SUCCEEDED  # taken from the node's history
    assert len(await node.ledger(first.prompt_id)) == 1


@pytest.mark.requirement("F-114")
async def test_prefetched_job_is_handed_back_when_the_node_dies(start_executor, scheduler, node) -> None:
    await start_executor(prefetch=True, prefetch_hold_s=600, unreachable_s=4.0)
    first, second = await run_and_prefetch(scheduler)
    await node.stop()
    finish = await scheduler.wait_for_finish(first)
    assert (finish.outcome, finish.node_died) == (Outcome.NODE_FAULT, True)
    finish = await scheduler.wait_for_finish(second)
    assert (finish.outcome, finish.gpu_seconds, finish.node_died) == (Outcome.RELEASED, 0, False)
