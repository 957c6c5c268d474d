"""Validation of a workflow without running it."""

from typing import Any

import httpx
import pytest

from tests.kit.fleet import HELLO, Fleet


def graph_of(seed: int, model: str) -> dict[str, Any]:
    """Return a graph that saves one image and previews the latent of one sampler."""
    usual = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["5", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["7", 0]}
    plain = {"width": 64, "height": 48, "batch_size": 1, "color": 0}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**plain, "width": "64", "batch_size": 3, "colour": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
        "3": {"class_type": "KSampler", "inputs": {**links, **usual, "seed": seed}},
        "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
        "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["5", 1]}},
        "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "8": {"class_type": "EmptyImage", "inputs": plain},
    }


async def model_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/models")).json()["models"]["CheckpointLoaderSimple.ckpt_name"][0])


async def validated(client: httpx.AsyncClient, submission: Any) -> dict[str, Any]:
    answer = await client.post("/workflows/validate", json=submission)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_validation_predicts_the_submission_and_creates_no_job(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("checker", "free")) as client:
        graph = graph_of(-1, await model_of(client))
        told = await validated(client, {"workflow": graph})
        assert (told["valid"], told["errors"], told["images"]) == (True, [], 3)
        assert told["random_seeds"] == [{"node_id": "3", "input": "seed"}]
        assert {(one["code"], one["node_id"], one.get("input")) for one in told["warnings"]} == {
            ("value_converted", "1", "width"),
            ("input_ignored", "1", "colour"),
            ("seed_random", "3", "seed"),
            ("node_not_used", "8", None),
        }
        many = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 11, "color": 0}}
        more = await validated(client, {"workflow": {"1": many, "2": graph["2"]}})
        assert (more["valid"], more["images"]) == (True, 11)
        assert [one["code"] for one in more["warnings"]] == ["quota.images_exceeded"]
        assert (await client.get("/jobs")).json()["jobs"] == []
        assert (await client.get("/auth/me")).json()["used_today"] == 0


@pytest.mark.requirement("POST /api/v1/workflows/validate")
async def test_validation_errors_equal_submission_errors(client: httpx.AsyncClient) -> None:
    submissions: list[dict[str, Any]] = [
        {"workflow": {**HELLO, "9": {"class_type": "EvilNode", "inputs": {}}}},
        {"prompt": "x", "width": 100},
        {"prompt": "x", "model": "nope.safetensors"},
        {"workflow": {}},
        {},
    ]
    for submission in submissions:
        told = await validated(client, submission)
        refused = await client.post("/jobs", json=submission)
        assert refused.status_code == 422
        assert (told["valid"], told["errors"]) == (False, refused.json()["errors"])
        assert "images" not in told
    absent = await client.post("/workflows/validate", json={"workflow_name": "nowhere"})
    assert (absent.status_code, absent.json()["code"]) == (404, "workflow.not_found")


async def test_random_seeds_are_reported_and_used(fleet: Fleet, client: httpx.AsyncClient) -> None:
    graph = graph_of(5, await model_of(client))
    assert (await fleet.submit(client, workflow=graph))["seeds"] == []
    jobs = [await fleet.submit(client, workflow=graph, randomize_seeds=True) for _ in range(2)]
    first, second = ([(one["node_id"], one["input"]) for one in job["seeds"]] for job in jobs)
    assert first == second == [("3", "seed")]
    assert jobs[0]["seeds"][0]["seed"] != jobs[1]["seeds"][0]["seed"]
    read = (await client.get(f"/jobs/{jobs[0]['job_id']}")).json()
    assert (read["seeds"], read["seed"]) == (jobs[0]["seeds"], jobs[0]["seeds"][0]["seed"])
