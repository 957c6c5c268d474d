"""A complete executor with a real NATS server and a simulated node; scheduler and gateway are scripted."""

import base64
import hashlib
import json
import zlib

import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.heartbeats import LeaseState
from tests.integration.executor.conftest import NAME
from tests.integration.executor.graphs import failing, hello, picture, slow
from tests.integration.executor.scripted import Scheduler
from tests.kit.http import http_client
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")


async def test_attempt_runs_once_and_stores_every_output_unchanged(start_executor, scheduler, gateway, node) -> None:
    await start_executor()
    given = await scheduler.offer_job(hello())
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.SUCCEEDED
    assert finish.images == 2
    assert [output.node_id for output in finish.outputs] == ["3", "3", "4", "4", "5"]
    assert [output.temporary for output in finish.outputs] == [False, False, True, True, False]
    assert [output.name for output in finish.outputs] == [
        "img_00001_.png", "img_00002_.png", "ComfyUI_temp_00001_.png", "ComfyUI_temp_00002_.png", "5.txt"
    ]  # fmt: skip
    for output in finish.outputs:
        stored = gateway.stored[output.id]
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (output.size_bytes, output.sha256)
        assert gateway.types[output.id] == output.content_type
    assert gateway.stored[finish.outputs[-1].id] == b"a text"
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "success"
    assert gateway.tenants == [str(given.ref.tenant_id)]
    assert scheduler.starts[0].ref == given.ref


async def test_saved_files_are_placed_in_the_attempt_folder(start_executor, scheduler, gateway, node) -> None:
    await start_executor()
    given = await scheduler.offer_job(hello(1), attempt=3)
    finish = await scheduler.wait_for_finish(given)
    path = f"/view?filename={finish.outputs[0].name}&subfolder={given.ref.job_id}/3/hello&type=output"
    async with http_client() as http:
        assert (await http.get(node.url + path)).content == gateway.stored[finish.outputs[0].id]


@pytest.mark.requirement("F-56")
async def test_outputs_are_never_served_from_another_tenants_cached_run(
    start_executor, scheduler, gateway, node
) -> None:
    """The node's cache would return the file of another tenant, which contains that tenant's graph."""
    await start_executor()
    graph = {
        "1": picture(),
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "EmptyAudio", "inputs": {"duration": 0.01, "sample_rate": 8000, "channels": 1}},
        "4": {"class_type": "PreviewAudio", "inputs": {"audio": ["3", 0]}},
    }
    made = {}
    for _ in range(2):
        given = await scheduler.offer_job(graph)
        finish = await scheduler.wait_for_finish(given)
        assert [output.node_id for output in finish.outputs] == ["2", "4"]
        made[str(given.ref.job_id).encode()] = [gateway.stored[output.id] for output in finish.outputs]
    (entry,) = (await node.request("GET", f"/history/{given.prompt_id}")).values()
    (cached,) = [told["nodes"] for name, told in entry["status"]["messages"] if name == "execution_cached"]
    assert set(cached) == {"1", "3"}  # the cache would produce equal outputs of both runs once
    first, second = made
    assert [(first in content, second in content) for content in made[first]] == [(True, False)] * 2
    assert [(first in content, second in content) for content in made[second]] == [(False, True)] * 2


@pytest.mark.requirement("F-59")
async def test_scheduler_receives_the_catalog_announced_by_heartbeats(start_executor, scheduler) -> None:
    await start_executor()
    await scheduler.until(lambda: scheduler.catalogs)
    text = zlib.decompress(base64.b64decode(scheduler.catalogs[0].classes_zlib))
    assert hashlib.sha256(text).hexdigest() == scheduler.catalogs[0].digest
    assert json.loads(text)["SaveImage"]["output_node"] is True
    await scheduler.until(lambda: scheduler.heartbeats[-1].online)
    assert scheduler.heartbeats[-1].catalog_digest == scheduler.catalogs[0].digest


async def test_progress_never_decreases_and_ends_at_100_percent(start_executor, scheduler) -> None:
    await start_executor()
    given = await scheduler.offer_job(slow(5.0))
    await scheduler.wait_for_finish(given)
    await scheduler.until(lambda: scheduler.progress and scheduler.progress[-1].progress == 100)
    said = [progress.progress for progress in scheduler.progress]
    assert said == sorted(said)
    assert said.count(100) == 1
    assert len(said) > 5
    assert {progress.node for progress in scheduler.progress} >= {"2"}


@pytest.mark.requirement("F-108")
async def test_cancel_message_stops_only_its_own_prompt(start_executor, scheduler, node) -> None:
    await start_executor()
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: any(progress.node == "2" for progress in scheduler.progress))
    await scheduler.hint_cancel(given)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error) == (Outcome.CANCELLED, None)
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "interrupted"
    following = await scheduler.offer_job(hello())
    assert (await scheduler.wait_for_finish(following)).outcome is Outcome.SUCCEEDED


async def test_executor_that_starts_before_the_scheduler_reports_its_node_soon_after(start_executor, nats_url) -> None:
    def count_failures() -> int:
        return sum(entry["event"] == "executor.heartbeat.failed" for entry in logs)

    scheduler = Scheduler(nats_url, NAME)
    with capture_logs() as logs:
        await start_executor(heartbeat_s=3600.0)
        await until(lambda: count_failures() > 4)
        failures = count_failures()
        await scheduler.start()
        try:
            await scheduler.until(lambda: scheduler.catalogs)
            assert len(scheduler.heartbeats) <= 2 + count_failures() - failures  # a reply may come too late
        finally:
            await scheduler.stop()


async def test_heartbeat_reply_with_cancellation_stops_the_prompt(start_executor, scheduler) -> None:
    await start_executor()
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: scheduler.starts)
    scheduler.lease = LeaseState.CANCELLED
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.CANCELLED


async def test_job_cancelled_before_its_start_frees_the_node(start_executor, scheduler, node) -> None:
    """The attempt occupies the node: the scheduler assigns it repeatedly until its end is reported."""
    await start_executor()
    scheduler.cancelled = True
    given = await scheduler.offer_job(slow(30))
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.CANCELLED
    assert [start.ref for start in scheduler.starts] == [given.ref]
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "interrupted"
    scheduler.cancelled = False
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED


async def test_lost_lease_stops_the_prompt_without_a_report(start_executor, scheduler, gateway, node) -> None:
    await start_executor(prefetch=False)  # otherwise a prefetched job would lose its lease, too
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: scheduler.starts)
    scheduler.lease = LeaseState.LOST
    scheduler.end_leases()
    following = await scheduler.offer_job(hello())
    await scheduler.until(lambda: scheduler.current is following)
    scheduler.lease = LeaseState.KEPT
    await scheduler.wait_for_finish(following)
    assert [finish.ref for finish in scheduler.finishes] == [following.ref]
    (entry,) = await node.ledger(given.prompt_id)
    assert entry["outcome"] == "interrupted"
    assert {stored.job_id for stored in gateway.grants} == {given.ref.job_id, following.ref.job_id}  # in advance


async def test_failed_workflow_reports_the_cause_without_file_paths(start_executor, scheduler) -> None:
    await start_executor()
    given = await scheduler.offer_job(failing("ValueError", "cannot read /srv/comfy/models/secret.bin"))
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.FAILED
    assert finish.error is not None
    assert finish.error.code == "workflow.execution_failed"
    assert (finish.error.node_id, finish.error.node_class) == ("2", "SimFail")
    assert "/srv" not in finish.error.message


@pytest.mark.requirement("F-46")
async def test_graph_refused_by_the_node_is_rejected(start_executor, scheduler) -> None:
    await start_executor()
    graph = hello()
    graph["1"]["inputs"]["width"] = -5
    rejected = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert (rejected.outcome, rejected.error.code) == (Outcome.FAILED, "workflow.rejected")
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "nowhere.safetensors"}}
    decode = {"class_type": "VAEDecode", "inputs": {"samples": ["8", 0], "vae": ["7", 2]}}
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}}
    elsewhere = await scheduler.wait_for_finish(
        await scheduler.offer_job({"7": loader, "8": latent, "9": decode, "10": save})
    )
    assert (elsewhere.outcome, elsewhere.error.code) == (Outcome.NODE_FAULT, "workflow.rejected")


async def test_partially_valid_graph_is_rejected_and_nothing_keeps_running(start_executor, scheduler, node) -> None:
    await start_executor()
    graph = slow(30)
    graph["9"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
    given = await scheduler.offer_job(graph)
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.FAILED
    assert (await node.ledger(given.prompt_id))[0]["outcome"] in {"interrupted", "deleted"}


@pytest.mark.requirement("F-42", "submission.run-within")
async def test_exceeding_the_run_time_limit_stops_the_prompt(start_executor, scheduler, node) -> None:
    await start_executor()
    given = await scheduler.offer_job(slow(30), run_within_s=1.0)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error.code) == (Outcome.FAILED, "job.run_time_exceeded")
    assert (await node.ledger(given.prompt_id))[0]["outcome"] == "interrupted"
    assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED


@pytest.mark.requirement("F-34")
async def test_finish_report_is_resent_unchanged_after_a_lost_reply(start_executor, scheduler) -> None:
    scheduler.unanswered_finishes = 1
    await start_executor()
    given = await scheduler.offer_job(hello())
    await scheduler.until(lambda: scheduler.current is None and scheduler.finishes)
    sent: list[FinishAttempt] = [finish for finish in scheduler.finishes if finish.ref == given.ref]
    assert len(sent) == 2
    assert sent[0] == sent[1]
