"""The same job runs whichever form its workflow has. Ambiguous bodies are refused with one sentence."""

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.kit.fleet import Fleet
from tests.kit.images import encode_image

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 24, "height": 16, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}
FILE = {
    "id": "0a1b2c3d-0000-4000-8000-000000000009",
    "nodes": [
        {"id": 1, "type": "EmptyImage", "widgets_values": [24, 16, 1, 255], "outputs": [{"type": "IMAGE"}]},
        {"id": 3, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"type": "IMAGE"}]},
        {
            "id": 2,
            "type": "SaveImage",
            "widgets_values": ["a"],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 2}],
        },
        {"id": 4, "type": "Note", "widgets_values": ["what this does"]},
    ],
    "links": [[1, 1, 0, 3, 0, "*"], [2, 3, 0, 2, 0, "IMAGE"]],
    "version": 0.4,
}
COMFYUI = {"prompt": GRAPH, "client_id": "x", "extra_data": {"extra_pnginfo": {"workflow": FILE}}}
FORMS = [
    COMFYUI,
    GRAPH,
    {"workflow": json.dumps(GRAPH), "seed": None, "labels": None},
    {"input": {"workflow": GRAPH}},
    FILE,
    {"prompt": FILE},
    {"workflow": {"1": {**GRAPH["1"], "is_changed": [1.5]}, "2": GRAPH["2"]}},
]


async def picture_of(fleet: Fleet, client: httpx.AsyncClient, job_id: str) -> Image.Image:
    ended = await fleet.wait_until_ended(client, job_id)
    assert ended["status"] == "completed", ended
    return Image.open(io.BytesIO((await client.get(f"/jobs/{job_id}/result")).content))


@pytest.mark.requirement("submission.forms")
async def test_every_form_of_a_workflow_runs_the_same_job(fleet: Fleet, client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch", json={"jobs": FORMS})
    items = answer.json()["jobs"]
    assert [item["status"] for item in items] == [201] * len(FORMS), items
    for item in items:
        picture = await picture_of(fleet, client, item["job"]["job_id"])
        assert (picture.size, picture.getpixel((0, 0))) == ((24, 16), (0, 0, 255))


async def test_body_with_byte_order_mark_and_ignorable_nan_runs(fleet: Fleet, client: httpx.AsyncClient) -> None:
    body = json.dumps({"1": {**GRAPH["1"], "is_changed": [float("nan")]}, "2": GRAPH["2"]})
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/jobs", content=b"\xef\xbb\xbf" + body.encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    await picture_of(fleet, client, answer.json()["job_id"])


@pytest.mark.requirement("B-46", "submission.extra-data")
async def test_extra_data_reaches_only_images_of_its_own_job(fleet: Fleet, client: httpx.AsyncClient) -> None:
    first = await fleet.submit(client, **COMFYUI)
    await fleet.wait_until_ended(client, first["job_id"])
    second = await fleet.submit(client, workflow=GRAPH)
    told = (await picture_of(fleet, client, first["job_id"])).info
    if "prompt" not in told:
        pytest.skip("the node writes no metadata")
    assert json.loads(told["workflow"])["id"] == FILE["id"]
    assert "workflow" not in (await picture_of(fleet, client, second["job_id"])).info


async def test_editor_file_can_reference_a_comfyui_form_upload(fleet: Fleet, client: httpx.AsyncClient) -> None:
    form = {"type": "input", "overwrite": "true"}
    sent = await client.post(
        "/upload", files={"image": ("a.png", encode_image(Image.new("RGB", (8, 8), "red")), "image/png")}, data=form
    )
    assert sent.status_code in {200, 201}, sent.text
    load = {
        "id": 1,
        "type": "LoadImage",
        "widgets_values": [sent.json()["id"], "image"],
        "outputs": [{"type": "IMAGE"}, {"type": "MASK"}],
    }
    job = await fleet.submit(client, workflow={**FILE, "nodes": [load, *FILE["nodes"][1:]]})  # type: ignore[index]
    await picture_of(fleet, client, job["job_id"])


@pytest.mark.requirement("B-46")
@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"input": {"workflow": GRAPH, "images": []}}, "/input", 'Remove the wrapper "input"'),
        ({**GRAPH, "priority": 1}, "", 'Move the nodes into a field "workflow"'),
        ({"prompt": {"1": GRAPH["1"]}}, "/prompt", "has no output node"),
        ({"prompt": GRAPH, "extra_data": {"api_key_comfy_org": "k"}}, "/extra_data/api_key_comfy_org", "Leave it out"),
        (
            {**FILE, "nodes": [{"id": 1, "type": "EmptyImage", "widgets_values": ["x"]}]},
            "",
            "Export (API)",
        ),
    ],
)
async def test_ambiguous_body_is_refused_in_one_sentence(
    client: httpx.AsyncClient, body: dict[str, Any], pointer: str, words: str
) -> None:
    answer = await client.post("/jobs", json=body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["pointer"], words in error["message"]) == (pointer, True), error
