"""External systems use the API over NATS, each only for its own tenant."""

import asyncio
import json

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from contracts.wire.errors import Unavailable
from tests.kit.fleet import HELLO, Fleet
from tests.kit.nats import wait_until_processed
from tests.kit.waiting import repeat_until, until


async def request(outside: Client, subject: str, payload: bytes) -> Msg:
    """Send a request, again while a service is unavailable, and return the reply."""

    def is_available(reply: Msg) -> bool:
        return bool(json.loads(reply.data).get("code") != Unavailable.code)

    return await repeat_until(is_available, lambda: outside.request(subject, payload, timeout=20), within_s=60)


@pytest.mark.requirement("nats-api")
async def test_external_system_submits_and_follows_jobs_over_nats(fleet: Fleet, client: httpx.AsyncClient) -> None:
    outside, _ = await fleet.connect_external_system()
    events: list[tuple[str, dict[str, object]]] = []

    async def hear(message: object) -> None:
        events.append((message.subject, json.loads(message.data)))  # type: ignore[attr-defined]

    await outside.subscribe("jobs.event.>", cb=hear)
    await wait_until_processed(outside)
    reply = await request(outside, "jobs.submit", json.dumps({"workflow": HELLO}).encode())
    job_id = json.loads(reply.data)["job_id"]
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200  # the job is committed and belongs to the demo user
    await fleet.wait_until_ended(client, job_id)
    await until(lambda: any(event["state"] == "succeeded" for _, event in events if event["job_id"] == job_id))
    own = [event["seq"] for subject, event in events if subject == f"jobs.event.{job_id}"]
    assert own == [1, 2, 3, 4]
    read = await request(outside, "jobs.read", json.dumps({"job_id": job_id}).encode())
    assert json.loads(read.data)["status"] == "completed"
    await outside.close()


async def test_nats_refusal_says_what_is_wrong(fleet: Fleet) -> None:
    outside, _ = await fleet.connect_external_system()
    evil = json.dumps({"workflow": {"1": {"class_type": "Evil", "inputs": {}}}}).encode()
    for payload, status in ((b"{", 400), (b"{}", 422), (evil, 422)):
        reply = await request(outside, "jobs.submit", payload)
        body = json.loads(reply.data)
        assert body["status"] == status, body
        assert body["errors"]
        assert reply.headers is not None
        assert reply.headers["Nats-Service-Error-Code"] == str(status)
    await outside.close()


@pytest.mark.requirement("S-6")
async def test_external_system_sees_and_acts_for_its_own_tenant_only(fleet: Fleet) -> None:
    outside, problems = await fleet.connect_external_system()
    admin = fleet.credentials["admin_user_id"]
    overheard: list[str] = []

    async def hear(message: object) -> None:
        overheard.append(message.subject)  # type: ignore[attr-defined]

    forbidden = [
        f"rpc.gateway.job.submit.v1.{admin}",
        f"rpc.scheduler.job.submit.v1.{admin}",
        "rpc.scheduler.attempt.ask.v1._.node-1",
        "evt.scheduler.job.changed.v1.x.y",
        "$JS.API.STREAM.DELETE.EVENT",
        "$JS.API.INFO",
    ]
    asked = [outside.request(subject, b"{}", timeout=1) for subject in forbidden]
    for subject, answer in zip(forbidden, await asyncio.gather(*asked, return_exceptions=True), strict=True):
        assert isinstance(answer, NatsTimeout | NoRespondersError), (subject, answer)
    await until(lambda: sum("permissions violation" in problem.lower() for problem in problems) >= len(forbidden))
    for subject in (">", "live.>", "evt.>", "_INBOX_gateway.>"):
        await outside.subscribe(subject, cb=hear)
    await wait_until_processed(outside)
    async with fleet.client(fleet.credentials["admin_key"]) as client:
        job = await fleet.submit(client, workflow=HELLO)
        await fleet.wait_until_ended(client, job["job_id"])
    await wait_until_processed(outside)
    await asyncio.wait_for(wait_until_processed(outside), 5)
    assert overheard == []
    await outside.close()
