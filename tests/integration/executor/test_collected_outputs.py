"""Every output is stored under its name and graph node. Set ``COMFYUI_URL`` to run the tests with a real node."""

import json
import os
from typing import Any

import aiohttp
import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.outputs import OutputSource
from tests.integration.executor.graphs import picture
from tests.integration.executor.processes import Node
from tests.kit.hostile_node import HostileNode, NodeRequest, Reply

pytestmark = pytest.mark.usefixtures("gateway")

REAL = os.environ.get("COMFYUI_URL")
PNG = b"\x89PNG"
ODD_PREFIXES = [
    "a cat... at night",
    "portrait..final",
    "日本語_Файл",
    "x" * 200,
    "語" * 200,
    "50% & more+#1=a;b",
    "...",
    "sub/fold..er/inner",
    ["text", 0],
]


@pytest.fixture(params=["simulated", "real"])
def url(node: Node, request: pytest.FixtureRequest) -> str:
    """The URL of a node."""
    if request.param == "simulated":
        return node.url
    if not REAL:
        pytest.skip("needs a real ComfyUI (COMFYUI_URL)")
    return REAL


def node_of(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


async def test_output_file_keeps_the_requested_name(start_executor, scheduler, gateway, url) -> None:
    await start_executor(comfyui_url=url)
    graph = {"1": picture(), "text": node_of("PrimitiveString", value="linked..name")} | {
        f"save-{place}": node_of("SaveImage", images=["1", 0], filename_prefix=prefix)
        for place, prefix in enumerate(ODD_PREFIXES)
    }
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert finish.outcome is Outcome.SUCCEEDED, finish
    asked = [*ODD_PREFIXES[:-2], "inner", "linked..name"]
    assert [output.name for output in finish.outputs] == [f"{prefix}_00001_.png" for prefix in asked]
    assert all(gateway.stored[output.id].startswith(PNG) for output in finish.outputs)


async def test_two_nodes_saving_the_same_image_have_one_output_each(start_executor, scheduler, gateway, url) -> None:
    await start_executor(comfyui_url=url)
    save = node_of("SaveImage", images=["1", 0], filename_prefix="a")
    finish = await scheduler.wait_for_finish(await scheduler.offer_job({"1": picture(), "2": save, "3": save}))
    assert [output.node_id for output in finish.outputs] == ["2", "3"]
    first, second = finish.outputs
    assert first.id != second.id
    assert gateway.stored[first.id] == gateway.stored[second.id]


async def test_images_sent_only_over_the_websocket_are_stored(start_executor, scheduler, gateway, url) -> None:
    await start_executor(comfyui_url=url)
    graph = {
        "1": picture(batch=2),
        "2": node_of("SaveImageWebsocket", images=["1", 0]),
        "4": node_of("SaveImage", images=["1", 0], filename_prefix="saved"),
    }
    for _ in range(2):  # in the second run, the node has the image in its cache
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
        assert finish.outcome is Outcome.SUCCEEDED, finish
        assert [output.node_id for output in finish.outputs] == ["2", "2", "4", "4"]
        assert [output.name for output in finish.outputs[:2]] == ["ComfyUI_00001_.png", "ComfyUI_00002_.png"]
        assert all(gateway.stored[output.id].startswith(PNG) for output in finish.outputs)
        assert (finish.images, finish.warnings) == (4, ())


async def test_websocket_image_without_node_id_belongs_to_the_running_node(start_executor, scheduler) -> None:
    await start_executor()
    graph = {
        "1": picture(),
        "2": node_of("SimSendImageWebSocket", images=["1", 0], format="JPEG"),
        "3": node_of("SimSendImageWebSocket", images=["1", 0], format="PNG"),
    }
    for _ in range(2):  # in the second run, the node would use its cache and send nothing
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
        assert finish.outcome is Outcome.SUCCEEDED, finish
        assert [(output.node_id, output.content_type) for output in finish.outputs] == [
            ("2", "image/jpeg"),
            ("3", "image/png"),
        ]


async def test_lost_websocket_image_fails_the_attempt(start_executor, scheduler, node) -> None:
    await start_executor()
    await node.arm_fault("picture_lost")
    graph = {"1": picture(), "2": node_of("SaveImageWebsocket", images=["1", 0])}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert await node.count_fault_occurrences("picture_lost") == 1
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
    again = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert (again.outcome, len(again.outputs)) == (Outcome.SUCCEEDED, 1)


async def test_expanded_node_reports_all_outputs_on_every_run(start_executor, scheduler, gateway) -> None:
    await start_executor()
    graph = {
        "1": picture(),
        "2": node_of("SimMultiply", image=["1", 0], copies=1),
        "3": node_of("SimExpand", image=["2", 0], times=5),
        "4": node_of("SaveImage", images=["3", 0], filename_prefix="a"),
    }
    seen: set[bytes] = set()
    for _ in range(3):
        given = await scheduler.offer_job(graph)
        finish = await scheduler.wait_for_finish(given)
        assert finish.outcome is Outcome.SUCCEEDED, finish
        assert [output.node_id for output in finish.outputs] == ["3"] * 5 + ["4"]
        assert not finish.warnings
        made = {gateway.stored[output.id] for output in finish.outputs}
        assert all(str(given.ref.job_id).encode() in content for content in made)  # no output is from an earlier job
        assert not made & seen
        seen |= made


async def test_prefetched_job_with_an_expanding_class_is_never_served_from_the_cache(
    start_executor, scheduler, gateway
) -> None:
    """The executor learns that the class expands only from the previous prompt."""
    await start_executor(prefetch=True, prefetch_hold_s=600, heartbeat_s=0.1)
    graph = {
        "1": picture(),
        "2": node_of("SimSleep", image=["1", 0], seconds=5),
        "3": node_of("SimExpand", image=["2", 0], times=2),
        "4": node_of("SaveImage", images=["3", 0], filename_prefix="a"),
    }
    first, second = await scheduler.offer_job(graph), await scheduler.offer_job(graph)
    await scheduler.until(lambda: scheduler.heartbeats and scheduler.heartbeats[-1].other_attempt == second.ref)
    assert not scheduler.finishes
    await scheduler.wait_for_finish(first)
    finish = await scheduler.wait_for_finish(second)
    assert [output.node_id for output in finish.outputs] == ["3", "3", "4"]
    assert all(str(second.ref.job_id).encode() in gateway.stored[output.id] for output in finish.outputs)


def echoing(value: dict[str, Any], *, simulated: bool) -> dict[str, Any]:
    """Return a node that reports the value unchanged, as the camera of a 3D preview."""
    if simulated:
        return node_of("SimReport", report=json.dumps({"result": ["a.glb", value, None]}), writes="{}")
    return node_of("Preview3D", model_file="a.glb", camera_info=value)


async def test_json_of_a_workflow_never_becomes_a_file_of_another_job(
    start_executor, scheduler, gateway, url, node: Node
) -> None:
    """Previews of one node id have the same random prefix in all jobs, so a tenant could guess the names of others."""
    viewed: list[tuple[str, str, str]] = []

    async def record_view(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view" and asked.range != "bytes=0-0":
            viewed.append((asked.query["type"], asked.query["subfolder"], asked.query["filename"]))
        return reply

    proxy = HostileNode(url)
    await proxy.start()
    try:
        proxy.change_reply = record_view
        await start_executor(comfyui_url=proxy.url)
        preview = {
            "1": picture(),
            "2": node_of("PreviewImage", images=["1", 0]),
            "3": node_of("SaveImage", images=["1", 0], filename_prefix="private"),
        }
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(preview))
        assert [output.name for output in finish.outputs] == ["ComfyUI_temp_00001_.png", "private_00001_.png"]
        assert len(viewed) == 2
        foreign = [dict(zip(("type", "subfolder", "filename"), file, strict=True)) for file in viewed]
        attack = {**preview, "1": picture(), "4": echoing({"a": foreign}, simulated=url == node.url)}
        stolen = set(viewed)
        viewed.clear()
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(attack))
    finally:
        await proxy.stop()
    assert finish.outcome is Outcome.SUCCEEDED, finish
    assert [output.name for output in finish.outputs[:2]] == ["ComfyUI_temp_00001_.png", "private_00001_.png"]
    assert len(viewed) == 2  # its own preview and image
    assert not stolen & set(viewed)
    (camera,) = [output for output in finish.outputs if output.node_id == "4" and output.position == 1]
    assert camera.source is OutputSource.VALUE
    shown = json.loads(gateway.stored[camera.id])["a"]
    assert {file["filename"] for file in shown} == {"ComfyUI_temp_.png", "private_00001_.png"}


async def test_preview_of_a_cached_crop_is_stored_once(start_executor, scheduler, gateway) -> None:
    """The node reports it again in the second job, which takes the crop from ComfyUI's cache."""
    if not REAL:
        pytest.skip("needs a real ComfyUI (COMFYUI_URL)")
    async with aiohttp.ClientSession() as http, http.get(f"{REAL}/object_info/ImageCropV2") as response:
        described = (await response.json()).get("ImageCropV2", {})
    if not described.get("has_intermediate_output"):
        pytest.skip("needs ComfyUI 0.33: earlier versions report no preview of a crop")
    await start_executor(comfyui_url=REAL)
    graph = {
        "1": picture(),
        "2": node_of("ImageCropV2", image=["1", 0], crop_region={"x": 0, "y": 0, "width": 24, "height": 16}),
    }
    listed = []
    for prefix in ("first", "second"):
        save = node_of("SaveImage", images=["2", 0], filename_prefix=prefix)
        finish = await scheduler.wait_for_finish(await scheduler.offer_job({**graph, "3": save}))
        assert finish.outcome is Outcome.SUCCEEDED, finish
        assert all(gateway.stored[output.id].startswith(PNG) for output in finish.outputs)
        listed.append([(output.node_id, output.name) for output in finish.outputs])
    assert listed == [[("2", "ComfyUI_temp_00001_.png"), ("3", "first_00001_.png")], [("3", "second_00001_.png")]]
