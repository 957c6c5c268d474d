"""Synchronous generation over a real socket: its responses, and a client that disconnects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.shutdown import Shutdown
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobError, JobState
from contracts.scheduler.outputs import OutputKind, OutputSource
from tests.integration.gateway.conftest import ALICE, PUBLIC, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.real_auth import Uses
from tests.kit.http import http_client
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script, output_of
from tests.kit.serving import serving
from tests.kit.waiting import until

PROMPT: dict[str, Any] = {"prompt": "a", "seed": 7, "model": "rare.safetensors"}


async def submitted(script: Script, count: int = 1) -> list[UUID]:
    """Wait until there are this many jobs and each was read: by then waiting requests receive the job's events."""
    await until(lambda: len(script.scheduler.jobs) >= count and script.scheduler.reads >= count, within_s=90)
    return list(script.scheduler.jobs)


async def end(script: Script, job_id: UUID, state: JobState, **more: Any) -> None:
    """Change the state of the job and publish the live event, as the scheduler does."""
    event = script.scheduler.change(job_id, state, **more)
    await script.scheduler_bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(job_id))


def generate(gateway: Gateway, json: dict[str, Any] | None = None, **headers: str) -> "asyncio.Task[httpx.Response]":
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.create_task(
        gateway.http.post("/api/v1/generate", headers=ALICE | sent, json=PROMPT if json is None else json)
    )


@asynccontextmanager
async def hung_up(gateway: Gateway, script: Script, **headers: str) -> AsyncIterator[UUID]:
    """Submit a job whose client disconnects, and yield its id."""
    waiting = generate(gateway, None, **headers)
    [job_id] = await submitted(script)
    waiting.cancel()
    await asyncio.wait({waiting})
    yield job_id


async def test_generate_waits_and_returns_the_images(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway, Prefer="respond-async, WAIT = 90; x=y")
    [job_id] = await submitted(script)
    preview = output_of(uuid4(), b"p", temporary=True)
    text = output_of(uuid4(), b"t", kind=OutputKind.TEXT, content_type="text/plain")
    outputs = (preview, output_of(uuid4(), b"x"), text, output_of(uuid4(), b"y"))
    await end(script, job_id, JobState.SUCCEEDED, outputs=outputs)
    answer = await waiting
    assert answer.status_code == 200, answer.text
    body = answer.json()
    job = f"{PUBLIC}/api/v1/jobs/{job_id}"
    assert (body["job_id"], body["status"]) == (str(job_id), "completed")
    assert body["image_url"] == f"{job}/result"
    assert body["images"] == [f"{job}/result?index=1", f"{job}/result?index=3"]
    assert (body["model"], body["seed"]) == ("rare.safetensors", 7)
    assert len(body["outputs"]) == 4
    assert answer.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert answer.headers["preference-applied"] == "wait=90"
    assert answer.headers["x-quota-remaining"] == "9"


async def test_generate_returns_previews_when_no_image_was_saved(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    caption = output_of(uuid4(), b"t", kind=OutputKind.TEXT, source=OutputSource.VALUE, key="text", value="a caption")
    previews = [output_of(uuid4(), b"p", temporary=True) for _ in range(2)]
    await end(script, job_id, JobState.SUCCEEDED, outputs=(caption, *previews))
    body = (await waiting).json()
    job = f"{PUBLIC}/api/v1/jobs/{job_id}"
    assert body["images"] == [f"{job}/result?index=1", f"{job}/result?index=2"]
    assert body["image_url"] == f"{job}/result"
    assert [output["temporary"] for output in body["outputs"]] == [False, True, True]
    assert (body["outputs"][0]["key"], body["outputs"][0]["value"]) == ("text", "a caption")


async def test_image_url_is_absent_without_an_image(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    video = output_of(uuid4(), b"v", kind=OutputKind.VIDEO, content_type="video/mp4")
    await end(script, job_id, JobState.SUCCEEDED, outputs=(video,))
    body = (await waiting).json()
    assert (body["image_url"], body["images"], len(body["outputs"])) == (None, [], 1)


async def test_image_url_names_an_image_even_when_a_video_comes_first(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    video = output_of(uuid4(), b"v", kind=OutputKind.VIDEO, content_type="video/mp4")
    await end(script, job_id, JobState.SUCCEEDED, outputs=(video, output_of(uuid4(), b"x")))
    body = (await waiting).json()
    assert [body["image_url"]] == body["images"] == [f"{PUBLIC}/api/v1/jobs/{job_id}/result?index=1"]


@pytest.mark.requirement("submission.chosen")
async def test_generate_returns_the_chosen_model_and_seed(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway, {"prompt": "a"})
    [job_id] = await submitted(script)
    await end(script, job_id, JobState.SUCCEEDED)
    body = (await waiting).json()
    assert body["model"] == "common.safetensors"
    assert body["seed"] == script.scheduler.submits[0].graph["sampler"]["inputs"]["seed"]
    assert (body["image_url"], body["images"]) == (None, [])


async def test_generate_with_a_workflow_returns_null_for_model_and_seed(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway, {"workflow": {"1": {"class_type": "SaveImage", "inputs": {}}}})
    [job_id] = await submitted(script)
    await end(script, job_id, JobState.SUCCEEDED, outputs=(output_of(uuid4(), b"x"),))
    answer = await waiting
    body = answer.json()
    assert (body["model"], body["seed"], len(body["images"])) == (None, None, 1)
    assert "preference-applied" not in answer.headers


async def test_generate_completes_despite_a_lost_event(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    script.scheduler.change(job_id, JobState.SUCCEEDED)  # without an event
    assert (await waiting).status_code == 200


async def test_generate_returns_the_job_after_the_wait_time(gateway: Gateway, script: Script) -> None:
    answer = await generate(gateway, Prefer="wait=0")  # the minimum is 1
    assert answer.status_code == 202, answer.text
    [job_id] = script.scheduler.jobs
    assert (answer.json()["job_id"], answer.json()["status"]) == (str(job_id), "pending")
    assert answer.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert answer.headers["preference-applied"] == "wait=1"
    # A disconnect after the response does not cancel the job.
    await gateway.http.aclose()
    async with http_client(base_url=gateway.origin) as http:
        assert (await http.get(f"/api/v1/jobs/{job_id}", headers=ALICE)).json()["status"] == "pending"


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("workflow.execution_failed", 422, "job.failed"),
        ("job.run_time_exceeded", 422, "job.failed"),
        ("job.no_outputs", 422, "job.failed"),
        ("node.lost", 503, "job.lost"),
        ("job.start_time_passed", 503, "job.lost"),
    ],
)
async def test_generate_returns_a_problem_for_a_failed_job(
    gateway: Gateway, script: Script, code: str, status: int, told: str
) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    await end(script, job_id, JobState.FAILED, error=JobError(code=code, message="No.", node_id="4"))
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (status, told)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"pointer": "", "code": code, "message": "No.", "node_id": "4"}]
    assert answer.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_generate_returns_a_conflict_for_a_cancelled_job(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    assert (await gateway.http.delete(f"/api/v1/jobs/{job_id}", headers=ALICE)).status_code == 200
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (409, "job.cancelled")


async def test_client_disconnect_cancels_the_generated_job(gateway: Gateway, script: Script) -> None:
    async with hung_up(gateway, script) as job_id:
        await until(lambda: script.scheduler.jobs[job_id].state is JobState.CANCELLED)


async def test_disconnect_with_an_idempotency_key_keeps_the_job(gateway: Gateway, script: Script) -> None:
    async with hung_up(gateway, script, Idempotency_Key="k1") as job_id:
        seen = script.scheduler.reads
        again = generate(gateway, Idempotency_Key="k1")
        await until(lambda: script.scheduler.reads > seen)
        await end(script, job_id, JobState.SUCCEEDED)
        answer = await again
    assert (answer.status_code, answer.json()["job_id"]) == (200, str(job_id))
    assert answer.headers["idempotent-replayed"] == "true"
    assert list(script.scheduler.jobs) == [job_id]
    # A further repetition returns the result at once.
    assert (await generate(gateway, Idempotency_Key="k1")).json()["seed"] == 7
    other = await generate(gateway, PROMPT | {"seed": 8}, Idempotency_Key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")


async def test_replayed_generate_returns_the_first_model_and_seed(gateway: Gateway, script: Script) -> None:
    first = generate(gateway, {"prompt": "a"}, Idempotency_Key="k2")
    [job_id] = await submitted(script)
    await end(script, job_id, JobState.SUCCEEDED)
    chosen = (await first).json()
    assert chosen["seed"] is not None
    again = (await generate(gateway, {"prompt": "a"}, Idempotency_Key="k2")).json()
    assert (again["job_id"], again["seed"]) == (str(job_id), chosen["seed"])
    assert again["model"] == "common.safetensors"


@pytest.mark.requirement("O-8")
async def test_stopping_gateway_answers_with_the_job_and_ends_event_streams(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    shutdown = Shutdown()
    app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path), shutdown=shutdown)
    async with http_client(timeout=30) as http, AsyncExitStack() as running:
        at = await running.enter_async_context(serving(app, shutdown=shutdown, finish_within_s=30))
        http.base_url = httpx.URL(f"http://{at}")
        await until_ready(http)
        waiting = asyncio.create_task(http.post("/api/v1/generate", headers=ALICE, json=PROMPT))
        [job_id] = await submitted(script)
        async with http.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=ALICE) as events:
            lines = events.aiter_lines()
            assert (await anext(lines)).startswith("id: ")
            await running.aclose()
            assert [line for line in [one async for one in lines] if line][-1] == "retry: 1000"
        answer = await waiting
    assert (answer.status_code, answer.json()["job_id"]) == (202, str(job_id))
    assert answer.headers["location"].endswith(f"/api/v1/jobs/{job_id}")
    assert script.scheduler.jobs[job_id].state is JobState.QUEUED


async def test_hundreds_of_generate_requests_wait_concurrently(gateway: Gateway, script: Script) -> None:
    groups, each = 10, 20
    limits = httpx.Limits(max_connections=None)
    async with http_client(base_url=gateway.origin, timeout=60, limits=limits) as http:
        waiting: list[asyncio.Task[httpx.Response]] = []
        for group in range(1, groups + 1):
            waiting += [
                asyncio.create_task(http.post("/api/v1/generate", headers=ALICE, json=PROMPT)) for _ in range(each)
            ]
            await submitted(script, group * each)
        assert not any(task.done() for task in waiting)
        for job_id in list(script.scheduler.jobs):
            await end(script, job_id, JobState.SUCCEEDED)
        answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["job_id"] for answer in answers} == {str(job_id) for job_id in script.scheduler.jobs}


async def test_generate_retries_reads_and_cancellations(gateway: Gateway, script: Script) -> None:
    waiting = generate(gateway)
    [job_id] = await submitted(script)
    script.scheduler.busy = 1
    await end(script, job_id, JobState.SUCCEEDED)
    assert ((await waiting).status_code, script.scheduler.busy) == (200, 0)
    script.scheduler.jobs.clear()
    script.scheduler.reads = 0
    async with hung_up(gateway, script) as job_id:
        script.scheduler.busy = 1
        await until(lambda: script.scheduler.jobs[job_id].state is JobState.CANCELLED)
    assert script.scheduler.busy == 0


async def test_answered_generate_request_leaves_no_subscription(
    gateway: Gateway, script: Script, nats_server: NatsServer
) -> None:
    before, many = await nats_server.count_subscriptions(), 50
    waiting = [generate(gateway) for _ in range(many)]
    jobs = await submitted(script, many)

    async def are_there() -> bool:
        return await nats_server.count_subscriptions() >= before + many * 0.8  # stream consumers come and go

    await until(are_there)
    for job_id in jobs:
        await end(script, job_id, JobState.SUCCEEDED)
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}

    async def as_before() -> bool:
        return await nats_server.count_subscriptions() < before + many / 2

    await until(as_before)


async def test_usage_is_current_when_generate_returns(gateway: Gateway, script: Script) -> None:
    uses, me = Uses(gateway.nats_url), "/api/v1/auth/me"
    await uses.start()
    try:
        waiting = generate(gateway)
        [job_id] = await submitted(script)
        assert (await gateway.http.get(me, headers=ALICE)).json()["used_today"] == 0
        uses.used[script.alice] = 1
        await end(script, job_id, JobState.SUCCEEDED)
        assert (await waiting).status_code == 200
        assert (await gateway.http.get(me, headers=ALICE)).json()["used_today"] == 1
    finally:
        await uses.stop()


async def test_generate_survives_an_outage_while_waiting(
    own_nats: NatsServer, database_url: str, tmp_path: Path
) -> None:
    script = Script(own_nats.url)
    app = create_app_with_long_timeouts(settings_for(own_nats.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await script.start()
        await until_ready(http)
        waiting = asyncio.create_task(http.post("/api/v1/generate", headers=ALICE, json=PROMPT))
        [job_id] = await submitted(script)
        own_nats.kill()
        refused = await http.post("/api/v1/generate", headers=ALICE, json=PROMPT)
        assert (refused.status_code, refused.json()["code"]) == (503, "service.unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        script.scheduler.change(job_id, JobState.SUCCEEDED)
        await own_nats.start()
        assert (await waiting).status_code == 200
        await script.stop()
