"""Uploads as job inputs: pinned before the submit, downloaded by executors, unpinned when the job ends."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from PIL import Image

import nats
from chassis.messaging.bus import Bus
from contracts.auth.accounts import Role
from contracts.auth.audit import RECORD_ACTION, RecordAction
from contracts.auth.fields import Done
from contracts.gateway.transfers import GRANT_INPUTS, GrantInputs, InputsGranted
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobActionReply, JobNotRepeatable, RunJobAction
from contracts.scheduler.jobs import JobState
from contracts.scheduler.search import INSPECT_JOB, InspectJob, JobWithAttempts
from contracts.scheduler.submissions import SUBMIT_JOB, InvalidWorkflow, SubmitJob
from contracts.wire.errors import HTTP_STATUS, FieldError, Refusal, Unavailable
from contracts.wire.topic import Address
from gateway.app import create_app
from gateway.timeouts import Timeouts
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import TIMEOUT_S, client_with_long_timeout
from tests.kit.images import encode_image
from tests.kit.nats import NatsServer, wait_until_processed
from tests.kit.scripted import Script
from tests.kit.serving import serving


@pytest.fixture
async def impatient(
    nats_server: NatsServer,
    database_url: str,
    script: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    """A gateway with the default timeout for replies over NATS, and long timeouts for its database."""
    timeouts = Timeouts(connect_s=TIMEOUT_S, fetch_tokens_s=TIMEOUT_S)
    app = create_app(settings_for(nats_server.url, database_url, tmp_path), timeouts=timeouts)
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", tmp_path, nats_server.url)


async def uploaded(gateway: Gateway, color: str, headers: dict[str, str] = ALICE) -> str:
    picture = ("a.png", encode_image(Image.new("RGB", (16, 8), color)), "image/png")
    answer = await gateway.http.post("/api/v1/upload", files={"file": picture}, headers=headers)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


async def submit(gateway: Gateway, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = ALICE | {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.http.post("/api/v1/jobs", headers=sent, json=body)


async def granted(script: Script, job_id: UUID, tenant: UUID) -> InputsGranted:
    return await script.bus.request(GRANT_INPUTS, GrantInputs(job_id=job_id), tenant=str(tenant), key="node-1")


async def held(database_url: str, job_id: UUID) -> bool:
    """Return whether the job pins an upload."""
    connection = await asyncpg.connect(database_url.replace("postgresql+asyncpg", "postgresql"))
    try:
        return bool(
            await connection.fetchval("SELECT count(*) FROM upload_uses WHERE job_id = $1 AND ended_at IS NULL", job_id)
        )
    finally:
        await connection.close()


async def test_upload_is_pinned_and_sent_to_the_executor_of_its_job(
    gateway: Gateway, script: Script, database_url: str
) -> None:
    image, mask = await uploaded(gateway, "red"), await uploaded(gateway, "white")
    seen: list[SubmitJob] = []
    script.scheduler.before_submit = seen.append
    answer = await submit(gateway, {"prompt": "a", "image": image, "mask": mask, "denoise": 0.5})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["model"], answer.json()["seed"]) == ("common.safetensors", seen[0].seed)
    assert seen[0].workflow == "inpaint"
    assert set(map(str, seen[0].inputs)) == {image, mask}
    assert await held(database_url, seen[0].job_id)
    tenant = script.scheduler.jobs[seen[0].job_id].tenant_id
    grants = (await granted(script, seen[0].job_id, tenant)).grants
    assert {str(grant.id) for grant in grants} == {image, mask}
    for grant in grants:
        fetched = await gateway.http.get(f"{gateway.origin}{httpx.URL(grant.url).path}")
        assert (fetched.status_code, len(fetched.content)) == (200, grant.size_bytes)
        assert hashlib.sha256(fetched.content).hexdigest() == grant.sha256
        assert image not in grant.name
    again = (await granted(script, seen[0].job_id, tenant)).grants
    assert [grant.name for grant in again] == [grant.name for grant in grants]


@pytest.mark.requirement("GET /internal/inputs/{token}")
async def test_inputs_are_granted_only_to_the_executor_of_the_job(gateway: Gateway, script: Script) -> None:
    image = await uploaded(gateway, "red")
    assert (await submit(gateway, {"prompt": "a", "image": image})).status_code == 201
    (job,) = script.scheduler.jobs.values()
    assert (await granted(script, job.job_id, uuid4())).grants == ()
    assert (await granted(script, uuid4(), job.tenant_id)).grants == ()
    (grant,) = (await granted(script, job.job_id, job.tenant_id)).grants
    path = httpx.URL(grant.url).path
    for token in (path[:-1], path[:-2] + "AA", "/internal/inputs/x", "/internal/inputs/~"):
        refused = await gateway.http.get(token)
        assert (refused.status_code, refused.json()["code"]) == (403, "upload.token_invalid")


async def test_equal_uploads_have_different_names_for_each_tenant(gateway: Gateway, script: Script) -> None:
    names = set()
    for headers in (ALICE, BOB):
        image = await uploaded(gateway, "red", headers)
        answer = await gateway.http.post("/api/v1/jobs", headers=headers, json={"prompt": "a", "image": image})
        job = script.scheduler.jobs[UUID(answer.json()["job_id"])]
        (grant,) = (await granted(script, job.job_id, job.tenant_id)).grants
        names.add(grant.name)
    assert len(names) == 2


async def test_upload_id_of_another_tenant_stays_plain_text(gateway: Gateway, script: Script) -> None:
    theirs, unknown = await uploaded(gateway, "red", BOB), str(uuid4())
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": theirs, "x": unknown}}}
    assert (await submit(gateway, {"workflow": graph})).status_code == 201
    assert script.scheduler.submits[0].inputs == ()
    assert script.scheduler.submits[0].graph == graph


async def test_refused_submission_pins_no_upload(gateway: Gateway, script: Script, database_url: str) -> None:
    image = await uploaded(gateway, "red")

    def refuse(_: SubmitJob) -> None:
        error = FieldError(pointer="/workflow", code="c", message="m", node_id="image", input="image")
        raise InvalidWorkflow((error,))

    script.scheduler.before_submit = refuse
    answer = await submit(gateway, {"prompt": "a", "image": image})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/image")
    (command,) = script.scheduler.submits
    assert str(command.inputs[0]) == image
    assert not await held(database_url, command.job_id)


async def test_replayed_submission_adds_no_pin(gateway: Gateway, script: Script, database_url: str) -> None:
    image = await uploaded(gateway, "red")
    first = await submit(gateway, {"prompt": "a", "image": image}, Idempotency_Key="k")
    again = await submit(gateway, {"prompt": "a", "image": image}, Idempotency_Key="k")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["job_id"] == first.json()["job_id"]
    one, other = (command.job_id for command in script.scheduler.submits)
    assert await held(database_url, one)
    assert not await held(database_url, other)


async def test_unsent_submission_pins_no_upload_and_one_with_a_lost_reply_keeps_its_pins(
    impatient: Gateway, script: Script
) -> None:
    gateway = impatient
    asked = {"prompt": "a", "model": "m"}
    sure, doubtful = await uploaded(gateway, "red"), await uploaded(gateway, "blue")
    await script.scheduler_bus.stop()
    refused = await submit(gateway, asked | {"image": sure})
    assert (refused.status_code, refused.json()["code"]) == (503, "service.unavailable")
    async with await nats.connect(gateway.nats_url) as taker:  # receives it and never replies
        taken = await taker.subscribe(SUBMIT_JOB.pattern)
        await wait_until_processed(taker)
        answer = await submit(gateway, asked | {"image": doubtful})
        assert (answer.status_code, answer.json()["code"]) == (503, "service.unavailable")
        assert doubtful.encode() in (await taken.next_msg(timeout=30)).data
    deleted = [await gateway.http.delete(f"/api/v1/uploads/{one}", headers=ALICE) for one in (sure, doubtful)]
    assert [one.status_code for one in deleted] == [204, 503], "the gateway cannot tell whether its job has ended"


async def test_number_of_uploads_per_graph_is_limited(gateway: Gateway, script: Script) -> None:
    inputs = {f"x{number}": str(uuid4()) for number in range(101)}
    answer = await submit(gateway, {"workflow": {"1": {"class_type": "SaveImage", "inputs": inputs}}})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "too_many_uploads")
    assert not script.scheduler.submits


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/workflows/validate"])
async def test_error_about_too_many_uploads_points_at_the_sent_graph(gateway: Gateway, path: str) -> None:
    inputs = {f"x{number}": str(uuid4()) for number in range(101)}
    body = {"prompt": {"1": {"class_type": "SaveImage", "inputs": inputs}}}
    answer = await gateway.http.post(path, headers=ALICE, json=body)
    (error,) = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == ("too_many_uploads", "/prompt")


async def test_editor_file_is_sent_with_the_uploads_in_its_widgets(gateway: Gateway, script: Script) -> None:
    mine = await uploaded(gateway, "blue")
    node = {"id": 1, "type": "LoadImage", "widgets_values": [mine, "image"]}
    file = {"last_node_id": 1, "nodes": [node], "links": [], "version": 0.4}
    answer = await submit(gateway, {"prompt": file, "client_id": "x"})
    assert answer.status_code == 201, answer.text
    (asked,) = script.scheduler.submits
    assert (asked.graph, asked.inputs, asked.workflow) == (file, (UUID(mine),), "custom")


@pytest.mark.parametrize(
    ("refusal", "kept"),
    [
        (Unavailable(service="scheduler", retry_after_s=1), True),
        (JobNotRepeatable(state=JobState.FAILED), False),
    ],
)
async def test_requeue_keeps_uploads_pinned_only_if_it_may_have_been_committed(
    gateway: Gateway, script: Script, database_url: str, refusal: Refusal, kept: bool
) -> None:
    """An unavailable scheduler may have committed the requeue, and the job would then need its uploads."""
    ordered: list[RunJobAction] = []

    async def order(asked: RunJobAction, _: Address) -> JobActionReply:
        ordered.append(asked)
        raise refusal

    async def inspect(asked: InspectJob, _: Address) -> JobWithAttempts:
        return JobWithAttempts(job=script.scheduler.jobs[asked.job_id], attempts=())

    async def record(_asked: RecordAction, _: Address) -> Done:
        return Done()

    image = await uploaded(gateway, "red")
    made = (await submit(gateway, {"prompt": "a", "image": image, "denoise": 0.5})).json()
    script.scheduler.change(UUID(made["job_id"]), JobState.FAILED)
    script.auth.change(script.bob, role=Role.ADMIN)
    bus = Bus(gateway.nats_url, name="operations", user=None, password=None, inbox_prefix="_INBOX_operations")
    bus.serve(RUN_JOB_ACTION, order)
    bus.serve(INSPECT_JOB, inspect)
    bus.serve(RECORD_ACTION, record)
    await bus.start()
    try:
        answer = await gateway.http.post(f"/api/v1/admin/jobs/{made['job_id']}/requeue", headers=BOB)
    finally:
        await bus.stop()
    assert answer.status_code == HTTP_STATUS[refusal.details.kind], answer.text
    [asked] = ordered
    assert asked.retry_id is not None
    assert await held(database_url, asked.retry_id) is kept
