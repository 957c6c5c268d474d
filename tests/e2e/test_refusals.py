"""Invalid requests are refused with a reason."""

import json
from typing import Any

import httpx
import pytest

from tests.kit.fleet import HELLO, Fleet

NO_IDS = (
    "01a207bb-5743-7918-bd51-000000000000", "00000000-0000-0000-0000-000000000000", "not-a-uuid", "x" * 1000, "1",
    "01A207BB-5743-7918-BD51-000000000000", "01a207bb57437918bd51000000000000",
)  # fmt: skip
SECRET = "do-not-echo-me"


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads(json.dumps(HELLO))
    graph[node]["inputs"] |= inputs
    return graph


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert SECRET not in answer.text
    return body


@pytest.mark.parametrize("key", ["", "nonsense", "cf_AAAAAAAAAAAA_" + "b" * 32 + "000000", "cf_" + "x" * 500])
async def test_request_without_a_valid_key_is_refused(fleet: Fleet, key: str) -> None:
    async with fleet.client(key) as client:
        for answer in (
            await client.post("/jobs", json={"workflow": HELLO}),
            await client.get("/jobs"),
            await client.get("/jobs/01a207bb-5743-7918-bd51-8fb5488efc95"),
        ):
            assert problem_of(answer, 401)["code"] == "auth.credential.invalid"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.requirement("credential.header")
async def test_api_key_is_accepted_as_a_bearer_token(fleet: Fleet) -> None:
    async with fleet.client("") as client:
        answer = await client.get("/jobs", headers={"Authorization": f"Bearer {fleet.key}"})
        assert answer.status_code == 200


@pytest.mark.requirement("B-16")
async def test_foreign_job_is_not_found(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job = (await fleet.submit(client, workflow=HELLO))["job_id"]
    await fleet.wait_until_ended(client, job)
    async with fleet.client(fleet.credentials["admin_key"]) as other:
        for method, path in (
            ("GET", ""), ("GET", "/result"), ("GET", "/image"), ("GET", "/outputs"), ("GET", "/events"),
            ("DELETE", ""), ("POST", "/cancel"),
        ):  # fmt: skip
            bodies = []
            for job_id in (job, *NO_IDS):
                body = problem_of(await other.request(method, f"/jobs/{job_id}{path}"), 404)
                bodies.append({key: value for key, value in body.items() if key not in {"request_id", "instance"}})
            assert all(body == bodies[0] for body in bodies)
    assert (await client.get(f"/jobs/{job}")).json()["status"] == "completed"


@pytest.mark.requirement("submission.refused")
@pytest.mark.parametrize(
    ("submission", "code", "pointer"),
    [
        ({"workflow": {**HELLO, "9": {"class_type": "EvilNode", "inputs": {}}}}, "unknown_node_class", "/workflow/9"),
        ({"workflow": changed("2", image=["77", 0])}, "broken_link", "/workflow/2/inputs/image"),
        ({"workflow": changed("2", image=["1", 5])}, "broken_link", "/workflow/2/inputs/image"),
        ({"workflow": changed("1", width=-1)}, "value_out_of_range", "/workflow/1/inputs/width"),
        ({"workflow": changed("1", width="many")}, "not_a_number", "/workflow/1/inputs/width"),
        ({"workflow": changed("1", hidden=SECRET, width=-1)}, "value_out_of_range", "/workflow/1/inputs/width"),
        ({"workflow": {"1": HELLO["1"]}}, "workflow_without_output", "/workflow"),
        ({"workflow": {}}, "workflow_not_a_graph", "/workflow"),
        ({"prompt": "x", "model": "nope.safetensors"}, "value_not_in_list", ""),
        ({"prompt": "x", "width": 56}, "greater_than_equal", "/width"),
        ({"prompt": "x", "width": 100}, "multiple_of", "/width"),
        ({"prompt": "x", "steps": "20"}, "int_type", "/steps"),
        ({"prompt": "x", "steps": True}, "int_type", "/steps"),
        ({"prompt": "x", "tenant_id": SECRET}, "extra_forbidden", "/tenant_id"),
        ({"prompt": "x", "workflow": HELLO}, "value_error", ""),
        ({}, "value_error", ""),
    ],
)
async def test_invalid_submission_is_refused_with_reasons_and_stores_nothing(
    client: httpx.AsyncClient, submission: dict[str, Any], code: str, pointer: str
) -> None:
    before = (await client.get("/jobs", params={"limit": 1})).json()["jobs"]
    body = problem_of(await client.post("/jobs", json=submission), 422)
    assert code in {error["code"] for error in body["errors"]}, body
    assert any(error["pointer"].startswith(pointer) for error in body["errors"]), body
    assert (await client.get("/jobs", params={"limit": 1})).json()["jobs"] == before


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"nonsense", b"[]", b"null", b'"x"', b'{"prompt": "x"} trailing', b'{"prompt": NaN}',
        b'{"prompt": "\\ud800"}', b'{"prompt": "\\u0000"}', b'{"prompt": "a", "prompt": "b"}', b"\xff\xfe{}",
        b'{"workflow": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"prompt": 1e999}',
    ],
)  # fmt: skip
async def test_malformed_json_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert problem_of(answer, 400 if content not in {b"[]", b"null", b'"x"'} else 422)["errors"]


async def test_oversized_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs", json={"prompt": "x" * (9 << 20)})
    problem_of(answer, 413)


@pytest.mark.requirement("B-44", "GET /api/v1/models")
async def test_missing_model_error_lists_available_models(client: httpx.AsyncClient) -> None:
    models = (await client.get("/models")).json()["models"]["CheckpointLoaderSimple.ckpt_name"]
    body = problem_of(await client.post("/jobs", json={"prompt": "x", "model": "nope.safetensors"}), 422)
    (error,) = [error for error in body["errors"] if error["code"] == "value_not_in_list"]
    assert set(error["allowed"]) == set(models)
    assert error["pointer"] == "/model"


@pytest.mark.requirement("B-70", "result.not-finished")
async def test_unfinished_result_is_a_conflict(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("early", "free")) as client:
        jobs = [await fleet.submit(client, workflow=HELLO) for _ in range(2)]
        answer = await client.get(f"/jobs/{jobs[1]['job_id']}/result")
        if answer.status_code != 200:  # it may have ended already
            assert problem_of(answer, 409)["code"] == "job.not_finished"
        await fleet.wait_until_ended(client, jobs[1]["job_id"])
        assert (await client.get(f"/jobs/{jobs[1]['job_id']}/result")).status_code == 200
