"""A node that responds but takes no jobs: the cause is reported, operators can free it, a dead worker is detected."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import Outcome, RequestWork
from contracts.scheduler.heartbeats import OccupancyCause, ReportedOccupancy
from tests.integration.executor.graphs import hello, killing, slow
from tests.integration.executor.processes import Node
from tests.integration.executor.scripted import Scheduler
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")

QUICKLY: dict[str, Any] = {"heartbeat_s": 0.1, "blocked_after_s": 0.5}


async def post_foreign_prompt(node: Node, graph: dict[str, Any] | None = None) -> str:
    """Post a prompt as another client; return its id."""
    told = await node.request("POST", "/prompt", {"prompt": graph or slow(60), "client_id": "somebody"})
    return str(told["prompt_id"])


def post_upon_request(scheduler: Scheduler, node: Node, graph: dict[str, Any]) -> list[str]:
    """Have another client post a prompt before the first work request is answered.

    Returns:
        A list that receives the id of that prompt.
    """
    posted: list[str] = []

    async def post_once(message: Any) -> bool:
        if isinstance(message, RequestWork) and not posted:
            posted.append(await post_foreign_prompt(node, graph))
        return False

    scheduler.before = post_once
    return posted


async def wait_for_occupancy(scheduler: Scheduler, *, blocked: bool) -> ReportedOccupancy:
    """Wait until heartbeats report what occupies the node; return the report."""

    def found() -> bool:
        occupied = scheduler.heartbeats[-1].occupied if scheduler.heartbeats else None
        return occupied is not None and occupied.blocked is blocked

    await scheduler.until(found)
    occupied = scheduler.heartbeats[-1].occupied
    assert occupied is not None
    return occupied


async def test_foreign_prompt_blocks_the_node_until_it_ends(start_executor, scheduler, node) -> None:
    prompt_id = await post_foreign_prompt(node)
    with capture_logs() as logs:
        await start_executor(heartbeat_s=0.1, blocked_after_s=4.0)
        before = await wait_for_occupancy(scheduler, blocked=False)
        after = await wait_for_occupancy(scheduler, blocked=True)
        assert [(one.by, one.prompt_id) for one in (before, after)] == [(OccupancyCause.FOREIGN_PROMPT, prompt_id)] * 2
        assert after.seconds > 4
        await until(lambda: any(entry["event"] == "executor.node.blocked" for entry in logs))
        alerts = [entry for entry in logs if entry["event"] == "executor.node.blocked"]
        assert [(entry["log_level"], entry["prompt_id"]) for entry in alerts] == [("error", prompt_id)]
        given = await scheduler.offer_job(hello())
        assert not scheduler.work_requests
        await node.request("POST", "/interrupt")
        assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    await scheduler.until(lambda: scheduler.heartbeats[-1].occupied is None)
    assert any(entry["event"] == "executor.node.unblocked" for entry in logs)


async def test_operator_clears_the_node_of_prompts_of_others(start_executor, scheduler, node) -> None:
    running, waiting = await post_foreign_prompt(node), await post_foreign_prompt(node)
    await start_executor(**QUICKLY)
    await wait_for_occupancy(scheduler, blocked=True)
    ordered = scheduler.request_clear()
    await scheduler.until(lambda: scheduler.heartbeats[-1].cleared == ordered)
    (entry,) = await node.ledger(running)
    assert entry["outcome"] == "interrupted"
    (entry,) = await node.ledger(waiting)
    assert entry["started"] is None
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED
    await scheduler.until(lambda: scheduler.heartbeats[-1].occupied is None)


async def test_clear_command_keeps_the_prompt_of_the_running_attempt(start_executor, scheduler, node) -> None:
    await start_executor(heartbeat_s=0.1)
    given = await scheduler.offer_job(slow(6))
    await scheduler.until(lambda: scheduler.starts)
    waiting = await post_foreign_prompt(node)
    ordered = scheduler.request_clear()
    await scheduler.until(lambda: scheduler.heartbeats[-1].cleared == ordered)
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.SUCCEEDED
    (entry,) = await node.ledger(waiting)
    assert entry["started"] is None


async def test_job_queued_behind_a_foreign_prompt_is_withdrawn_before_it_starts(
    start_executor, scheduler, node
) -> None:
    post_upon_request(scheduler, node, slow(60))
    given = await scheduler.offer_job(hello())
    await start_executor(heartbeat_s=0.1, behind_others_s=0.5)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.node_died, finish.gpu_seconds) == (Outcome.NODE_FAULT, False, 0)
    occupied = await wait_for_occupancy(scheduler, blocked=False)
    assert occupied.by is OccupancyCause.FOREIGN_PROMPT
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["started"] is None


@pytest.mark.requirement("submission.run-within")
async def test_run_limit_does_not_count_time_behind_a_foreign_prompt(start_executor, scheduler, node) -> None:
    posted = post_upon_request(scheduler, node, slow(8))
    given = await scheduler.offer_job(slow(0.3), run_within_s=6.0)
    await start_executor(heartbeat_s=0.1)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error) == (Outcome.SUCCEEDED, None)
    (foreign,) = posted
    ((other,), (entry,)) = await node.ledger(foreign), await node.ledger(given.prompt_id)
    assert entry["started"] >= other["finished"]


@pytest.mark.requirement("F-43")
async def test_worker_death_during_a_job_is_detected_in_the_node_log(start_executor, scheduler, node) -> None:
    await start_executor(heartbeat_s=0.1, dead_worker_s=0.5, stop_within_s=0.2, stalled_s=900.0)
    given = await scheduler.offer_job(killing("SimKillWorker"))
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.fault", True)
    occupied = await wait_for_occupancy(scheduler, blocked=True)
    assert (occupied.by, occupied.prompt_id) == (OccupancyCause.DEAD_WORKER, str(given.prompt_id))
    await node.stop()
    await node.start()
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED
    await scheduler.until(lambda: scheduler.heartbeats[-1].occupied is None)


async def test_worker_death_during_a_foreign_prompt_blocks_the_node(start_executor, scheduler, node) -> None:
    prompt_id = await post_foreign_prompt(node, killing("SimKillWorker"))
    await start_executor(heartbeat_s=0.1, dead_worker_s=0.5)
    occupied = await wait_for_occupancy(scheduler, blocked=True)
    assert (occupied.by, occupied.prompt_id) == (OccupancyCause.DEAD_WORKER, prompt_id)


@pytest.mark.requirement("F-60")
async def test_job_without_progress_is_not_mistaken_for_a_dead_worker(start_executor, scheduler, node) -> None:
    """The log entry is older than the job's prompt, so it is no evidence that the worker is dead now."""
    await node.request("POST", "/simnode/log", ["Exception in thread ", "Thread-9 (prompt_worker)", ":\n"])
    await node.arm_fault("ws_stall")
    await start_executor(dead_worker_s=0.2)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(slow(5)))
    assert finish.outcome is Outcome.SUCCEEDED
    assert await node.count_requests("GET /internal/logs/raw") > 0
