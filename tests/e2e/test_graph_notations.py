"""Every notation of a graph that ComfyUI accepts runs; graphs that would fail on a node are refused at submission."""

from typing import Any

import httpx
import pytest

from tests.kit.fleet import Fleet

IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}
PREVIEW = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}


def image(**inputs: Any) -> dict[str, Any]:
    return {"1": {**IMAGE, "inputs": {**IMAGE["inputs"], **inputs}}, "2": SAVE}  # type: ignore[dict-item]


def resized(**inputs: Any) -> dict[str, Any]:
    given = {name.replace("__", "."): value for name, value in inputs.items()}
    node = {"class_type": "ResizeImageMaskNode", "inputs": {"input": ["1", 0], "scale_method": "area", **given}}
    return {"1": IMAGE, "2": node, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}}


def batched(**inputs: Any) -> dict[str, Any]:
    given = {name.replace("__", "."): value for name, value in inputs.items()}
    node = {"class_type": "BatchImagesNode", "inputs": given}
    return {"1": IMAGE, "2": node, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}}


async def need_classes(client: httpx.AsyncClient, graph: dict[str, Any]) -> None:
    for name in {node["class_type"] for node in graph.values()}:
        if not (await client.get("/nodes/classes", params={"name": name})).json()["classes"]:
            pytest.skip(f"no node has {name}")


@pytest.mark.parametrize(
    "graph",
    [
        image() | {"7": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.safetensors"}}},
        image() | {"7": {"class_type": "LoadImage", "inputs": {"image": "gone.png"}}},
        image() | {"7": {"class_type": "ImageInvert", "inputs": {"image": ["7", 0]}}},
        image() | {"7": {"class_type": "EmptyImage", "inputs": {"width": -5}}},
        image(width="32", height={"__value__": 32}, color=True),
        {"1": {**IMAGE, "is_changed": ["abc"], "title": "a", "mode": 0}, "2": {**SAVE, "_meta": {"title": "b"}}},
        image(no_such_input=[1, 2, 3]),
        {"1": {"class_type": "CustomCombo", "inputs": {"choice": "x", "option1": "x", "index": 0}}, "2": PREVIEW},
        resized(resize_type="scale by multiplier", resize_type__multiplier="2"),
        batched(images__image0=["1", 0], images__image1=["1", 0]),
    ],
)
async def test_graph_that_comfyui_runs_is_run(fleet: Fleet, client: httpx.AsyncClient, graph: dict[str, Any]) -> None:
    await need_classes(client, graph)
    job = await fleet.submit(client, workflow=graph)
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert ended["status"] == "completed", ended


@pytest.mark.requirement("B-40")
@pytest.mark.parametrize(
    ("graph", "node_id", "name", "words"),
    [
        ({"2": {**SAVE, "inputs": {"images": "photo.png", "filename_prefix": "a"}}}, "2", "images", "photo.png"),
        (
            resized(resize_type="scale dimensions", resize_type__width=8, resize_type__height=8),
            "2",
            "resize_type.crop",
            "is required",
        ),
        (
            resized(resize_type="scale by multiplier", resize_type__multiplier=99),
            "2",
            "resize_type.multiplier",
            "must be between 0.01 and 8",
        ),
        (batched(image0=["1", 0]), "2", "images.image0", 'must be named "images.image0"'),
        (
            {"2": {"class_type": "PreviewAny", "inputs": {"source": {"__value__": ["999", 0]}}}},
            "2",
            "source",
            "Write the link itself",
        ),
        ({"1": IMAGE, "2": {**SAVE, "inputs": {"images": [1, 0]}}}, "2", "images", "Write it as text"),
        ({"1": IMAGE, "2": {**SAVE, "inputs": {"images": ["1", "0"]}}}, "2", "images", "without quotes"),
        ({"1": IMAGE, "2": {**SAVE, "inputs": {"images": ["9", 0]}}}, "2", "images", "this workflow does not have"),
        (image(width=None), "1", "width", "EmptyImage.width is required"),
        (image(width="many"), "1", "width", '"many"'),
    ],
)
async def test_graph_that_would_fail_is_refused_naming_node_and_input(
    client: httpx.AsyncClient, graph: dict[str, Any], node_id: str, name: str, words: str
) -> None:
    await need_classes(client, graph)
    answer = await client.post("/jobs", json={"workflow": graph})
    assert answer.status_code == 422, answer.text
    found = [error for error in answer.json()["errors"] if (error["node_id"], error["input"]) == (node_id, name)]
    assert any(words in error["message"] for error in found), answer.json()["errors"]
