"""Submission and timeline of a job, for its owner and for users with whom it is shared."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.scheduler.jobs import JobError
from contracts.scheduler.search import AttemptSummary
from tests.integration.gateway.conftest import ALICE, BOB, Gateway
from tests.integration.gateway.test_output_lists import here
from tests.integration.gateway.test_outputs import finished
from tests.integration.gateway.test_purges import say_purged
from tests.kit.scripted import Script
from tests.kit.waiting import until

pytestmark = pytest.mark.shares_gateway

NODES: dict[str, Any] = {
    "canvas": {"class_type": "EmptyLatentImage", "inputs": {"width": 768, "height": 512, "batch_size": 2}},
    "positive": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["checkpoint", 1]}},
    "sampler": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "latent_image": ["canvas", 0]}},
}
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 5}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
}


async def submission_of(gateway: Gateway, job_id: object) -> dict[str, Any]:
    answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/submission", headers=ALICE)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["submission"]
    return found


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/submission")
async def test_resubmitting_a_submission_runs_the_same_graph(gateway: Gateway, script: Script) -> None:
    job_id, _ = await finished(gateway, script, b"1")
    job = script.scheduler.jobs[job_id]

    def ran(workflow: str, graph: dict[str, Any]) -> None:
        changed = {"workflow": workflow, "labels": {"a": "b"}, "priority": 3}
        script.scheduler.jobs[job_id] = job.model_copy(update=changed)
        script.scheduler.graphs[job_id] = graph

    ran("text-to-image", NODES)
    labelled = {"labels": {"a": "b"}, "priority": 3}
    prompt = {"prompt": "a lighthouse", "width": 768, "height": 512, "num_images": 2, "steps": 20, "seed": 7}
    assert await submission_of(gateway, job_id) == prompt | labelled

    ran("custom", GRAPH)
    assert await submission_of(gateway, job_id) == {"workflow": GRAPH} | labelled

    before = GRAPH | {"1": {"class_type": "EmptyImage", "inputs": GRAPH["1"]["inputs"] | {"color": 0}}}
    saved = {"workflow": before, "parameters": {"color": {"node": "1", "input": "color"}}}
    assert (await gateway.http.put("/api/v1/workflows/plain", headers=ALICE, json=saved)).status_code == 201
    ran("plain", GRAPH)
    by_name = {"workflow_name": "plain", "version": 1, "parameters": {"color": 5}}
    assert await submission_of(gateway, job_id) == by_name | labelled
    ran("plain", GRAPH | {"2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "b"}}})
    assert "workflow" in await submission_of(gateway, job_id)
    foreign = await gateway.http.get(f"/api/v1/jobs/{job_id}/submission", headers=BOB)
    assert foreign.json()["code"] == "job.not_found"


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/timeline")
async def test_timeline_has_transitions_and_attempts_without_node_names(gateway: Gateway, script: Script) -> None:
    job_id, _ = await finished(gateway, script, b"1")
    at, error = datetime.now(UTC), JobError(code="node.fault", message="m", node_id="3", node_class="KSampler")
    summary = AttemptSummary(
        attempt=1, node="gpu-7", leased_at=at, ended_at=at, outcome="node_fault", gpu_seconds=1.5, error=error
    )
    script.scheduler.attempts[job_id] = [summary]
    path = f"/api/v1/jobs/{job_id}/timeline"
    answer = await gateway.http.get(path, headers=ALICE)
    told = answer.json()
    assert [(one["seq"], one["status"], one["cause"]) for one in told["events"]] == [
        (1, "pending", "scripted"),
        (2, "completed", "scripted"),
    ]
    (attempt,) = told["attempts"]
    assert (attempt["outcome"], attempt["gpu_seconds"]) == ("node_fault", 1.5)
    assert attempt["error"]["node_class"] == "KSampler"
    assert "gpu-7" not in answer.text
    assert (await gateway.http.get(path, headers=BOB)).json()["code"] == "job.not_found"


@pytest.mark.requirement(
    "POST /api/v1/jobs/{job_id}/share",
    "GET /api/v1/jobs/{job_id}/share",
    "DELETE /api/v1/jobs/{job_id}/share",
    "GET /api/v1/shared/{share_token}",
    "table gateway.job_shares",
    "S-84",
)
async def test_a_shared_job_is_read_by_its_token_until_it_is_revoked_expires_or_is_purged(
    gateway: Gateway, script: Script, database_url: str
) -> None:
    job_id, (output,) = await finished(gateway, script, b"picture", name="a.png")
    job = script.scheduler.jobs[job_id]
    script.scheduler.jobs[job_id] = job.model_copy(update={"labels": {"secret": "label"}})
    path = f"/api/v1/jobs/{job_id}/share"

    async def share(**body: int) -> dict[str, Any]:
        answer = await gateway.http.post(path, headers=ALICE, json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def read(token: str, headers: dict[str, str] = BOB) -> httpx.Response:
        return await gateway.http.get(f"/api/v1/shared/{token}", headers=headers)

    assert (await gateway.http.get(path, headers=ALICE)).json()["code"] == "share.not_found"
    assert (await gateway.http.post(path, headers=BOB, json={})).json()["code"] == "job.not_found"
    first, second = await share(), await share(expires_in_seconds=3600)
    assert second["url"].endswith(f"/api/v1/shared/{second['token']}")
    assert (await gateway.http.get(path, headers=ALICE)).json() == {"expires_at": second["expires_at"]}
    assert (await gateway.http.get(path, headers=BOB)).json()["code"] == "share.not_found"
    assert (await read(first["token"])).json()["code"] == "share.not_found"
    seen = await read(second["token"])
    shown = seen.json()
    assert (seen.status_code, shown["job_id"], shown["status"]) == (200, str(job_id), "completed")
    assert (shown["expires_at"], shown["submission"]) == (
        second["expires_at"],
        {"workflow": {"1": {"job": str(job_id)}}},
    )
    assert "secret" not in seen.text
    (listed,) = shown["outputs"]
    assert listed["id"] == str(output.id)
    assert (await gateway.http.get(here(listed["url"]))).content == b"picture"
    assert (await read(second["token"], {})).status_code == 401
    assert (await gateway.http.get(f"/api/v1/jobs/{job_id}", headers=BOB)).status_code == 404
    assert (await gateway.http.delete(path, headers=BOB)).json()["code"] == "share.not_found"

    assert (await gateway.http.delete(path, headers=ALICE)).status_code == 204
    assert (await gateway.http.delete(path, headers=ALICE)).status_code == 404
    assert (await read(second["token"])).json()["code"] == "share.not_found"

    third = await share()
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        stored = await connection.fetch("SELECT * FROM job_shares WHERE job_id = $1", job_id)
        assert third["token"] not in str(stored)
        await connection.execute("UPDATE job_shares SET expires_at = now() WHERE job_id = $1", job_id)
        assert (await read(third["token"])).json()["code"] == "share.not_found"
        fourth = await share()
        del script.scheduler.jobs[job_id]
        assert (await read(fourth["token"])).json()["code"] == "share.not_found"
        await say_purged(script, job_id)

        async def is_gone() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM job_shares WHERE job_id = $1", job_id)

        await until(is_gone)
    finally:
        await connection.close()
