"""An attempt ends exactly once and with the right outcome, despite faults of its node and of other services."""

import signal
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import Outcome, RequestWork
from contracts.scheduler.heartbeats import OccupancyCause
from tests.integration.executor.graphs import failing, hello, killing, slow
from tests.integration.executor.scripted import Gateway, Scheduler
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")


@pytest.mark.requirement("F-30")
async def test_successor_adopts_the_prompt_of_an_executor_killed_mid_run(
    spawn_executor, scheduler, gateway, node
) -> None:
    given = await scheduler.offer_job(slow(6))
    async with spawn_executor() as executor:
        await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
        await executor.stop(signal.SIGKILL)
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["finished"] is None
        await executor.start()
        finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.SUCCEEDED
    assert len(await node.ledger(given.prompt_id)) == 1
    assert gateway.stored[finish.outputs[0].id].startswith(b"\x89PNG")


@pytest.mark.requirement("F-30")
async def test_successor_stores_outputs_of_an_executor_killed_while_storing(
    spawn_executor, scheduler, gateway, node
) -> None:
    gateway.put_statuses.extend([503] * 1000)
    given = await scheduler.offer_job(hello())
    async with spawn_executor() as executor:
        await gateway.until(lambda: gateway.puts > 2)
        await executor.stop(signal.SIGKILL)
        gateway.put_statuses.clear()
        await executor.start()
        finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.SUCCEEDED
    assert len(finish.outputs) == 5
    assert len(await node.ledger(given.prompt_id)) == 1


@pytest.mark.requirement("F-30")
async def test_successor_repeats_the_report_of_a_killed_executor(spawn_executor, scheduler, gateway, node) -> None:
    scheduler.unanswered_finishes = 1
    given = await scheduler.offer_job(hello())
    async with spawn_executor() as executor:
        await scheduler.until(lambda: scheduler.finishes)
        await executor.stop(signal.SIGKILL)
        await executor.start()
        await scheduler.until(lambda: len(scheduler.finishes) > 1)
    assert scheduler.finishes[0] == scheduler.finishes[1]
    assert len(gateway.grants) == 1
    assert len(await node.ledger(given.prompt_id)) == 1


@pytest.mark.requirement("F-35")
async def test_stopped_executor_leaves_the_prompt_to_its_successor(spawn_executor, scheduler, node) -> None:
    given = await scheduler.offer_job(slow(6))
    async with spawn_executor(on_stop="leave_running") as executor:
        await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
        await executor.stop(signal.SIGTERM)
        assert not scheduler.finishes
        await executor.start()
        assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "success"


async def test_prompt_is_adopted_by_id_when_the_journal_is_lost(spawn_executor, scheduler, node, tmp_path) -> None:
    given = await scheduler.offer_job(slow(6))
    async with spawn_executor() as executor:
        await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
        await executor.stop(signal.SIGKILL)
        for file in tmp_path.glob("journal.sqlite*"):
            file.unlink()
        await executor.start()
        assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    assert len(await node.ledger(given.prompt_id)) == 1


async def test_two_attempts_are_adopted_one_after_the_other_when_the_journal_is_lost(
    spawn_executor, scheduler, gateway, node, tmp_path
) -> None:
    gateway.put_statuses.extend([503] * 1000)
    first, second = await scheduler.offer_job(hello()), await scheduler.offer_job(slow(6))
    async with spawn_executor(prefetch=True, prefetch_hold_s=600) as executor:
        await scheduler.until(
            lambda: any(one.job_id == second.ref.job_id and one.node == "2" for one in scheduler.progress)
        )
        assert not scheduler.finishes
        await executor.stop(signal.SIGKILL)
        for file in tmp_path.glob("journal.sqlite*"):
            file.unlink()
        gateway.put_statuses.clear()
        await executor.start()
        for given in (first, second):
            assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
            (entry,) = await node.ledger(given.prompt_id)
            assert entry["outcome"] == "success"


@pytest.mark.requirement("F-41", "F-54")
async def test_node_restart_ends_the_attempt_as_lost(start_executor, scheduler, node) -> None:
    await start_executor()
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
    await node.stop()
    await scheduler.until(lambda: not scheduler.heartbeats[-1].online)
    await node.start()
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.lost", True)
    following = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED


async def test_unreachable_node_loses_the_attempt_and_requests_no_work(start_executor, scheduler, node) -> None:
    await start_executor(unreachable_s=4.0)
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: scheduler.starts)
    await node.stop()
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.lost", True)
    assert finish.gpu_seconds > 0
    asked = len(scheduler.work_requests)
    beats = len(scheduler.heartbeats)
    await scheduler.until(lambda: len(scheduler.heartbeats) > beats + 3)
    assert len(scheduler.work_requests) == asked
    await node.start()
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-50")
async def test_polling_detects_completion_without_a_websocket(start_executor, scheduler, node) -> None:
    await node.arm_fault("ws_refuse")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(slow(0.5)))
    assert (finish.outcome, len(finish.outputs)) == (Outcome.SUCCEEDED, 1)


@pytest.mark.requirement("F-49")
async def test_silent_websocket_does_not_block_completion(start_executor, scheduler, node) -> None:
    await node.arm_fault("ws_stall")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(slow(0.5)))
    assert finish.outcome is Outcome.SUCCEEDED


async def test_node_used_by_a_foreign_client_takes_work_once_free(start_executor, scheduler, node) -> None:
    """The executor checks an occupied node after pauses that grow, and that start short for each occupancy."""
    with capture_logs() as logs:
        await node.request("POST", "/prompt", {"prompt": slow(60), "client_id": "somebody"})
        await start_executor(heartbeat_s=0.1, ask_wait_s=0.2)
        for _ in range(2):
            await until(lambda: any(entry["event"] == "executor.node.foreign_prompts" for entry in logs))
            logs.clear()
            await scheduler.until(lambda: scheduler.heartbeats and scheduler.heartbeats[-1].foreign_prompts == 1)
            began, beats, asks = monotonic(), len(scheduler.heartbeats), len(scheduler.work_requests)
            looks = await node.count_requests("GET /queue")

            async def was_checked_soon(before: int = looks) -> bool:
                return bool(await node.count_requests("GET /queue") >= before + 3)

            given = await scheduler.offer_job(hello())
            await scheduler.until(lambda beats=beats: len(scheduler.heartbeats) >= beats + 10)
            await until(was_checked_soon)
            looks = await node.count_requests("GET /queue") - looks
            assert looks <= 6 + monotonic() - began  # the pauses grow from 0.05 s to 1 s
            assert len(scheduler.work_requests) == asks
            await node.request("POST", "/interrupt")
            assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
            await scheduler.until(lambda: scheduler.heartbeats[-1].foreign_prompts == 0)
            await node.request("POST", "/prompt", {"prompt": slow(60), "client_id": "somebody"})


@pytest.mark.requirement("F-51", "F-52")
async def test_duplicate_and_foreign_events_are_ignored(start_executor, scheduler, node) -> None:
    await node.arm_fault("events_twice")
    await node.arm_fault("foreign_events")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(slow(0.5)))
    assert finish.outcome is Outcome.SUCCEEDED
    said = [progress.progress for progress in scheduler.progress]
    assert said == sorted(said)


@pytest.mark.requirement("F-47")
async def test_prompt_accepted_without_a_reply_runs_once(start_executor, scheduler, node) -> None:
    await node.arm_fault("prompt_timeout", seconds=600)
    await start_executor(post_s=3.0)
    given = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    assert await node.count_fault_occurrences("prompt_timeout") == 1
    assert len(await node.ledger(given.prompt_id)) == 1


@pytest.mark.requirement("F-48")
async def test_posting_a_prompt_is_retried_after_a_server_error(start_executor, scheduler, node) -> None:
    await node.arm_fault("prompt_500")
    await start_executor()
    given = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    assert len(await node.ledger(given.prompt_id)) == 1


@pytest.mark.requirement("F-44")
async def test_node_memory_is_freed_before_a_retry_after_out_of_memory(start_executor, scheduler, node) -> None:
    await node.arm_fault("oom", until_freed=True)
    await start_executor()
    first = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (first.outcome, first.error.code) == (Outcome.NODE_FAULT, "node.out_of_memory")
    again = await scheduler.offer_job(hello(), attempt=2, free_memory=True)
    assert (await scheduler.wait_for_finish(again)).outcome is Outcome.SUCCEEDED
    freed = await node.count_requests("POST /free")
    assert freed > 0
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED
    assert (await node.count_requests("POST /free"), await node.count_fault_occurrences("oom")) == (freed, 1)


@pytest.mark.requirement("F-44")
async def test_out_of_memory_is_classified_as_a_node_fault(start_executor, scheduler, node) -> None:
    await node.arm_fault("oom")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.out_of_memory", False)


async def test_error_messages_override_a_success_status(start_executor, scheduler, node) -> None:
    await node.arm_fault("error_as_success")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(failing("ValueError", "no")))
    assert finish.outcome is Outcome.FAILED


@pytest.mark.requirement("F-43")
async def test_dead_worker_thread_is_classified_as_a_node_fault(start_executor, scheduler, node) -> None:
    await node.arm_fault("worker_death")
    await start_executor(dead_worker_s=1.0, stalled_s=3.0)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.fault", True)


async def test_node_with_a_dead_worker_takes_no_job_until_restarted(start_executor, scheduler, node) -> None:
    await node.arm_fault("worker_death")
    await start_executor(dead_worker_s=1.0, stalled_s=3.0)
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).node_died
    asked, beats = len(scheduler.work_requests), len(scheduler.heartbeats)
    innocent = await scheduler.offer_job(hello())
    await scheduler.until(lambda: len(scheduler.heartbeats) > beats + 5)
    assert len(scheduler.work_requests) == asked
    await node.stop()
    await node.start()
    assert (await scheduler.wait_for_finish(innocent)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("graph", "limits", "code"),
    [
        (killing("SimExit"), {"unreachable_s": 2.0}, "node.lost"),
        (killing("SimKillWorker"), {"stalled_s": 3.0}, "node.fault"),
        (killing("SimFreeze", seconds=120), {"unreachable_s": 2.0, "reply_s": 1.0, "post_s": 2.0}, "node.lost"),
    ],
    ids=["process", "worker", "freeze"],
)
async def test_graph_that_crashes_its_node_is_reported_as_the_cause(
    start_executor, scheduler, graph, limits, code
) -> None:
    await start_executor(stop_within_s=1.0, **limits)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, code, True)
    assert finish.gpu_seconds > 0


@pytest.mark.requirement("F-42")
async def test_node_with_a_stuck_prompt_takes_no_further_job(start_executor, scheduler, node) -> None:
    await start_executor(stalled_s=2.0, stop_within_s=0.5)
    given = await scheduler.offer_job(killing("SimKillWorker"))
    assert (await scheduler.wait_for_finish(given)).node_died
    asked, beats = len(scheduler.work_requests), len(scheduler.heartbeats)
    innocent = await scheduler.offer_job(hello())
    await scheduler.until(lambda: len(scheduler.heartbeats) > beats + 5)
    assert len(scheduler.work_requests) == asked
    (entry,) = await node.ledger(given.prompt_id)
    assert (entry["outcome"], await node.ledger(innocent.prompt_id)) == (None, [])
    await node.stop()
    await node.start()
    assert (await scheduler.wait_for_finish(innocent)).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-54")
async def test_prompt_missing_from_one_queue_reading_is_still_watched(start_executor, scheduler, node) -> None:
    await start_executor(prefetch=False)  # so that the executor does not read the queue
    given = await scheduler.offer_job(slow(6))
    await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
    await node.arm_fault("queue_hidden")
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.SUCCEEDED
    assert await node.count_fault_occurrences("queue_hidden") == 1
    assert len(await node.ledger(given.prompt_id)) == 1


async def test_run_time_limit_applies_while_the_node_is_unreachable(start_executor, scheduler, node) -> None:
    await start_executor(unreachable_s=30.0)
    given = await scheduler.offer_job(slow(30), run_within_s=5.0)
    await scheduler.until(lambda: scheduler.starts)
    await node.stop()
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error.code) == (Outcome.FAILED, "job.run_time_exceeded")
    assert not finish.node_died


@pytest.mark.requirement("F-55")
async def test_missing_or_truncated_file_is_downloaded_again(start_executor, scheduler, gateway, node) -> None:
    await node.arm_fault("view_404")
    await node.arm_fault("view_truncated")
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert finish.outcome is Outcome.SUCCEEDED
    assert all(len(gateway.stored[output.id]) == output.size_bytes for output in finish.outputs)
    assert [await node.count_fault_occurrences(fault) for fault in ("view_404", "view_truncated")] == [1, 1]


@pytest.mark.requirement("F-55")
async def test_permanently_missing_file_is_a_node_fault(start_executor, scheduler, node) -> None:
    await node.arm_fault("view_404", count=100)
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code, finish.node_failed) == (Outcome.NODE_FAULT, "node.fault", True)


@pytest.mark.requirement("F-142")
async def test_output_upload_waits_for_storage_and_renews_an_expired_grant(start_executor, scheduler, gateway) -> None:
    gateway.put_statuses.extend([503, 500, 403, 503])
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert finish.outcome is Outcome.SUCCEEDED
    assert len(gateway.grants) == 2
    assert all(output.id in gateway.stored for output in finish.outputs)


@pytest.mark.requirement("F-141")
async def test_outputs_waiting_for_a_full_store_are_reported_and_time_out(start_executor, scheduler, gateway) -> None:
    def waiting() -> bool:
        occupied = scheduler.heartbeats[-1].occupied if scheduler.heartbeats else None
        return occupied is not None and (occupied.by, occupied.blocked) == (OccupancyCause.STORAGE, True)

    gateway.is_full = True
    await start_executor(storage_wait_s=6, blocked_after_s=0.5)
    kept = await scheduler.offer_job(hello())
    await scheduler.until(waiting)
    gateway.is_full = False
    finish = await scheduler.wait_for_finish(kept)
    assert finish.outcome is Outcome.SUCCEEDED
    assert all(output.id in gateway.stored for output in finish.outputs)
    await scheduler.until(lambda: scheduler.heartbeats[-1].occupied is None)
    gateway.is_full = True
    given_up = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (given_up.outcome, given_up.error.code) == (Outcome.NODE_FAULT, "job.storage_unavailable")
    assert not given_up.node_died


@pytest.mark.requirement("F-36")
async def test_output_larger_than_the_limit_fails_the_job(start_executor, scheduler, gateway) -> None:
    await start_executor(output_max_bytes=10)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code) == (Outcome.FAILED, "workflow.output_too_large")
    assert not finish.outputs
    assert all(len(content) <= 10 for content in gateway.stored.values())


@pytest.mark.requirement("F-57")
async def test_foreign_prompt_is_awaited_and_never_touched(start_executor, scheduler, node) -> None:
    await node.request("POST", "/prompt", {"prompt": slow(1.5), "client_id": "somebody"})
    given = await scheduler.offer_job(hello())
    await start_executor()
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    told = await node.request("GET", "/simnode/ledger")
    assert [entry["outcome"] for entry in told["prompts"]] == ["success", "success"]
    assert told["prompts"][0]["finished"] <= told["prompts"][1]["received"]


async def test_node_crash_before_the_prompt_is_posted_loses_the_attempt(start_executor, scheduler, node) -> None:
    async def stop_node(message: Any) -> bool:
        if isinstance(message, RequestWork):
            await node.stop()
        return False

    scheduler.before = stop_node
    await start_executor(unreachable_s=2.0)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.lost", False)


async def test_node_that_never_accepts_the_prompt_is_at_fault(start_executor, scheduler, node) -> None:
    await node.arm_fault("prompt_500", count=100)
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello()))
    assert (finish.outcome, finish.error.code) == (Outcome.NODE_FAULT, "node.fault")


@pytest.mark.requirement("F-32")
async def test_job_completes_despite_a_nats_outage_during_the_run(spawn_executor, own_nats, node) -> None:
    scheduler, gateway = Scheduler(own_nats.url, "node-1"), Gateway(own_nats.url)
    await scheduler.start()
    await gateway.start()
    given = await scheduler.offer_job(slow(5))
    async with spawn_executor(nats_url=own_nats.url):
        await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
        await own_nats.stop()
        await node.wait_until_ended(given.prompt_id)
        await own_nats.start()
        finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.SUCCEEDED
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "success"
    await scheduler.stop()
    await gateway.stop()
