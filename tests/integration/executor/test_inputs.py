"""Transfer of a job's uploads to the node, with and without faults."""

import asyncio
import os
import signal
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.attempts import Assignment, Outcome
from contracts.scheduler.heartbeats import LeaseState
from executor.clients.artifacts import MAX_MEMORY_BYTES
from tests.integration.executor.processes import Node
from tests.integration.executor.scripted import PATIENCE_S, Gateway, Scheduler
from tests.kit.hostile_node import HostileNode, NodeRequest, Reply
from tests.kit.http import http_client
from tests.kit.media import wav

pytestmark = pytest.mark.usefixtures("gateway")


def png(color: str, width: int = 24) -> bytes:
    sink = BytesIO()
    Image.new("RGB", (width, 16), color).save(sink, "PNG")
    return sink.getvalue()


def inverted(upload: UUID) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": str(upload)}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }


async def offer_job_with_upload(scheduler: Scheduler, gateway: Gateway, content: bytes) -> Assignment:
    upload = uuid4()
    gateway.uploads[upload] = content
    return await scheduler.offer_job(inverted(upload), inputs=(upload,))


async def arm_fault(url: str, fault: str, **parameters: Any) -> None:
    async with http_client() as client:
        (await client.post(f"{url}/simnode/faults", json={"name": fault, **parameters})).raise_for_status()


async def count_fault_occurrences(url: str, fault: str) -> int:
    async with http_client() as client:
        faults = (await client.get(f"{url}/simnode/faults")).json()["faults"]
    return next((row["fired"] for row in faults if row["name"] == fault), 0)


def read_output_color(gateway: Gateway, finish: Any) -> Any:
    with Image.open(BytesIO(gateway.stored[finish.outputs[0].id])) as image:
        return image.convert("RGB").getpixel((3, 3))


async def test_node_receives_the_exact_uploaded_bytes_once(start_executor, scheduler, gateway, node) -> None:
    await start_executor()
    first = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("red")))
    assert first.outcome is Outcome.SUCCEEDED, first
    assert read_output_color(gateway, first) == (0, 255, 255)
    again = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("red")))
    assert read_output_color(gateway, again) == (0, 255, 255)
    assert gateway.gets == 1
    other = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("blue")))
    assert read_output_color(gateway, other) == (255, 255, 0)
    async with http_client() as client:  # the catalog lists no names of uploads that a graph could guess
        listed = (await client.get(f"{node.url}/object_info/LoadImage")).json()["LoadImage"]["input"]["required"]
    assert listed["image"][0] == []


async def test_input_download_waits_while_storage_is_unavailable(start_executor, scheduler, gateway) -> None:
    gateway.get_statuses.extend([503] * 6)
    await start_executor()
    finish = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("red")))
    assert finish.outcome is Outcome.SUCCEEDED
    assert gateway.gets == 7


async def test_altered_input_bytes_never_reach_a_node(start_executor, scheduler, gateway, node) -> None:
    given = await offer_job_with_upload(scheduler, gateway, png("red"))
    gateway.announced_content[given.inputs[0]] = png("blue")
    await start_executor()
    finish = await scheduler.wait_for_finish(given)
    assert finish.outcome is Outcome.NODE_FAULT
    assert finish.error
    assert finish.error.code == "input.unreadable"
    assert finish.gpu_seconds == 0
    assert not await node.ledger(given.prompt_id)


async def test_missing_upload_fails_the_job_without_a_retry(start_executor, scheduler, gateway) -> None:
    given = await offer_job_with_upload(scheduler, gateway, png("red"))
    gateway.uploads.clear()
    await start_executor()
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "input.gone")


async def test_input_file_lost_by_the_node_is_a_node_fault(start_executor, scheduler, gateway, node) -> None:
    await arm_fault(node.url, "upload_lost")
    await start_executor()
    finish = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("red")))
    assert await count_fault_occurrences(node.url, "upload_lost") == 1
    assert finish.outcome is Outcome.NODE_FAULT
    again = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, png("red")))
    assert again.outcome is Outcome.SUCCEEDED


async def test_upload_larger_than_the_nodes_limit_fails_the_job_without_a_retry(
    start_executor, scheduler, gateway, tmp_path
) -> None:
    (tmp_path / "small").mkdir()
    node = Node(tmp_path / "small", "--max-upload-bytes", "100000")
    await node.start()
    await start_executor(comfyui_url=node.url)
    finish = await scheduler.wait_for_finish(await offer_job_with_upload(scheduler, gateway, os.urandom(5_000_000)))
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "input.too_large")
    assert finish.error
    assert "--max-upload-size" in finish.error.message
    await node.stop()


async def test_streamed_upload_arrives_complete(start_executor, scheduler, gateway) -> None:
    upload, content = uuid4(), wav(seconds=MAX_MEMORY_BYTES / 16_000 + 1)
    assert len(content) > MAX_MEMORY_BYTES
    gateway.uploads[upload], gateway.extensions[upload] = content, "wav"
    graph = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": str(upload)}},
        "2": {"class_type": "SimSaveFile", "inputs": {"source": ["1", 0], "filename_prefix": "x"}},
    }
    await start_executor()
    policy = TenantPolicy(mode=GraphPolicy.OPEN)
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph, inputs=(upload,), policy=policy))
    assert finish.outcome is Outcome.SUCCEEDED, finish
    (output,) = finish.outputs
    assert output.name.endswith(".wav")
    assert gateway.stored[output.id] == content


async def test_successor_continues_after_a_kill_between_staging_and_posting(
    spawn_executor, scheduler, gateway, node
) -> None:
    await arm_fault(node.url, "prompt_500")
    given = await offer_job_with_upload(scheduler, gateway, png("red"))
    proxy, was_refused = HostileNode(node.url), asyncio.Event()

    async def hold_refusal(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "prompt":
            was_refused.set()
            await asyncio.Event().wait()  # otherwise the executor posts it again
        return reply

    proxy.change_reply = hold_refusal
    await proxy.start()
    try:
        async with spawn_executor(comfyui_url=proxy.url) as executor:
            async with asyncio.timeout(PATIENCE_S):
                await was_refused.wait()
            assert await count_fault_occurrences(node.url, "prompt_500") == 1
            assert not await node.ledger(given.prompt_id)
            await executor.stop(signal.SIGKILL)
            proxy.stop_replacing()
            await executor.start()
            finish = await scheduler.wait_for_finish(given)
    finally:
        await proxy.stop()
    assert finish.outcome is Outcome.SUCCEEDED, finish
    assert read_output_color(gateway, finish) == (0, 255, 255)
    assert gateway.gets == 1
    assert len(await node.ledger(given.prompt_id)) == 1


@pytest.mark.requirement("F-107")
async def test_job_cancelled_while_storage_is_unavailable_costs_nothing(
    start_executor, scheduler, gateway, node
) -> None:
    gateway.get_statuses.extend([503] * 1000)
    given = await offer_job_with_upload(scheduler, gateway, png("red"))
    await start_executor()
    await gateway.until(lambda: gateway.gets > 3)
    scheduler.lease = LeaseState.CANCELLED
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.gpu_seconds) == (Outcome.CANCELLED, 0)
    assert not await node.ledger(given.prompt_id)


async def test_heartbeats_report_loaded_models(start_executor, scheduler) -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sim_xl.safetensors"}}
    text = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a"}}
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    decoded = {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}}
    saved = {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}}
    await start_executor()
    await scheduler.wait_for_finish(
        await scheduler.offer_job({"1": loader, "2": text, "3": latent, "4": decoded, "5": saved})
    )
    await scheduler.until(
        lambda: scheduler.heartbeats[-1].loaded == ("CheckpointLoaderSimple.ckpt_name=sim_xl.safetensors",)
    )
