"""Texts, values and previews in the public API."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import simulated_only
from tests.e2e.test_cli import Person
from tests.kit.fleet import Fleet

PICTURE = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0x102060}}
PREVIEW = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
CAPTION = "a lighthouse,\nat dusk"
CAPTIONED = {"1": PICTURE, "2": PREVIEW, "3": {"class_type": "PreviewAny", "inputs": {"source": CAPTION}}}


def reporting(report: dict[str, Any]) -> dict[str, Any]:
    return {"1": {"class_type": "SimReport", "inputs": {"report": json.dumps(report), "writes": "{}"}}}


async def test_job_returns_both_text_output_and_preview(
    fleet: Fleet, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    job = await fleet.submit(client, workflow=CAPTIONED)
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert (ended["status"], ended["warnings"]) == ("completed", [])
    preview, text = ended["outputs"]
    assert (preview["node_id"], preview["key"], preview["temporary"]) == ("2", "images", True)
    assert (text["node_id"], text["key"], text["position"], text["temporary"]) == ("3", "text", 0, False)
    assert (text["kind"], text["source"], text["value"]) == ("text", "value", CAPTION)
    fetched = await client.get(text["url"])
    assert (fetched.text, fetched.headers["content-type"]) == (CAPTION, "text/plain; charset=utf-8")
    only = (await client.get(f"/jobs/{job['job_id']}/outputs", params={"temporary": True})).json()["outputs"]
    assert only == [preview]
    first = await client.get(f"/jobs/{job['job_id']}/result")
    assert first.headers["etag"] == f'"{preview["sha256"]}"'
    printed = await Person(fleet.base_url, tmp_path).does("result", job["job_id"], COMFYFLEET_KEY=fleet.key)
    assert printed.out.decode() == f"{CAPTION}\n"
    assert preview["name"] in printed.err


async def test_generate_returns_the_preview_of_a_workflow_that_saves_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/generate", json={"workflow": {"1": PICTURE, "2": PREVIEW}})
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert len(body["images"]) == 1
    contents = [(await client.get(url)).content for url in (body["image_url"], *body["images"])]
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG")


@simulated_only
async def test_job_without_outputs_completes_with_a_warning_or_fails_by_choice(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("reporter", "pro", graph_policy="open")) as client:
        warned = await fleet.submit(client, workflow=reporting({}))
        failed = await fleet.submit(client, workflow=reporting({}), on_no_outputs="fail")
        value = await fleet.submit(client, workflow=reporting({"value": [{"score": 0.5}]}), on_no_outputs="fail")
        body = await fleet.wait_until_ended(client, warned["job_id"])
        assert (body["status"], body["outputs"]) == ("completed", [])
        assert [one["code"] for one in body["warnings"]] == ["job.no_outputs", "job.node_without_outputs"]
        body = await fleet.wait_until_ended(client, failed["job_id"])
        assert (body["status"], body["attempt"], body["error"]["code"]) == ("failed", 1, "job.no_outputs")
        body = await fleet.wait_until_ended(client, value["job_id"])
        assert [(one["key"], one["value"]) for one in body["outputs"]] == [("value", {"score": 0.5})]
