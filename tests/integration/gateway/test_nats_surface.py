import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.ids import is_request_id
from chassis.messaging.serving import ERROR_CODE_HEADER, ERROR_HEADER, REQUEST_ID_HEADER, RETRY_AFTER_HEADER
from contracts.auth.tiers import Tier, TierLimits
from contracts.gateway.nats_api import NATS_CANCEL_JOB, NATS_READ_JOB, NATS_SUBMIT_JOB
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.waiting import until


@pytest.fixture
async def outside(gateway: Gateway) -> AsyncIterator[Client]:
    """A NATS connection of an external system."""
    client = Client()
    await client.connect(gateway.nats_url)
    yield client
    await client.close()


async def ask(gateway: Gateway, subject: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[Any, Any]:
    """Send a request of an external system as the NATS server forwards it: with the tenant in the subject."""
    client = Client()
    await client.connect(gateway.nats_url)
    reply = await client.request(subject, body, timeout=10, headers=headers)
    await client.close()
    return json.loads(reply.data), reply.headers or {}


async def test_nats_api_returns_the_same_bodies_as_http(gateway: Gateway, script: Script) -> None:
    alice = str(script.alice)
    made, headers = await ask(gateway, NATS_SUBMIT_JOB.subject(alice), b'{"prompt": "a"}')
    assert ERROR_HEADER not in headers
    over_http = (await gateway.http.get(f"/api/v1/jobs/{made['job_id']}", headers=ALICE)).json()
    assert made == over_http
    job = json.dumps({"job_id": made["job_id"]}).encode()
    assert (await ask(gateway, NATS_READ_JOB.subject(alice), job))[0] == over_http
    assert (await ask(gateway, NATS_CANCEL_JOB.subject(alice), job))[0]["status"] == "cancelled"


async def test_nats_api_returns_the_same_problems_as_http(gateway: Gateway, script: Script) -> None:
    made, _ = await ask(gateway, NATS_SUBMIT_JOB.subject(str(script.alice)), b'{"prompt": "a"}')
    job = json.dumps({"job_id": made["job_id"]}).encode()
    over_http = (await gateway.http.get(f"/api/v1/jobs/{uuid4()}", headers=ALICE)).json()
    named = {REQUEST_ID_HEADER: "its-own"}
    problem, headers = await ask(gateway, NATS_READ_JOB.subject(str(script.bob)), job, named)
    assert headers[ERROR_CODE_HEADER] == "404"
    assert headers[ERROR_HEADER] == "job.not_found"
    assert problem.pop("request_id") == "its-own"
    assert (await ask(gateway, NATS_SUBMIT_JOB.subject(str(script.bob)), b"{", named))[0]["request_id"] == "its-own"
    del over_http["request_id"], over_http["instance"]
    assert problem == over_http


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"prompt": 1}',
        b'{"prompt": "a", "prompt": "b"}',
        b'{"workflow": {"1": {"x": NaN}}}',
        b'{"workflow": {}}',
        b'{"prompt": {"1": {"class_type": "A", "inputs": {}}, "2": {"inputs": {}}}}',
    ],
)
async def test_nats_api_refuses_invalid_input_like_http(
    shared_gateway: Gateway, shared_script: Script, body: bytes
) -> None:
    problem, headers = await ask(shared_gateway, NATS_SUBMIT_JOB.subject(str(shared_script.alice)), body)
    answer = await shared_gateway.http.post(
        "/api/v1/jobs", headers=ALICE | {"Content-Type": "application/json"}, content=body
    )
    malformed = problem["code"] == "request.malformed"
    assert headers[ERROR_CODE_HEADER] == str(answer.status_code) == ("400" if malformed else "422")
    assert (problem["code"], problem["errors"]) == (answer.json()["code"], answer.json()["errors"])
    assert not shared_script.scheduler.submits


async def test_nats_api_accepts_an_idempotency_key(gateway: Gateway, script: Script) -> None:
    subject = NATS_SUBMIT_JOB.subject(str(script.alice))
    made = [
        (await ask(gateway, subject, b'{"prompt": "a"}', {"Idempotency-Key": "door"}))[0]["job_id"] for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(script.scheduler.jobs) == 1


def limit(script: Script, requests: int | None) -> TierLimits:
    """Limit all users to this many requests per minute. The caller must publish the returned change."""
    for user_id in (script.alice, script.bob):
        script.auth.user(user_id)
    return script.auth.change_tier(Tier.PRO, UNLIMITED.model_copy(update={"requests_per_minute": requests}))


async def ask_door(
    client: Client, script: Script, body: bytes = b'{"prompt": "a"}', topic: Any = NATS_SUBMIT_JOB
) -> Msg:
    return await client.request(topic.subject(str(script.alice)), body, timeout=10)


def code_of(reply: Msg) -> str:
    return (reply.headers or {}).get(ERROR_CODE_HEADER, "201")


async def test_nats_api_and_http_share_one_rate_limit(gateway: Gateway, script: Script, outside: Client) -> None:
    await script.publish_change(limit(script, 2))

    async def is_known() -> bool:  # reads are limited separately
        answer = await gateway.http.get("/api/v1/models", headers=ALICE)
        return answer.headers.get_list("x-ratelimit-limit") == ["2"]

    await until(is_known)
    codes = []
    for _ in range(2):
        codes.append(code_of(await ask_door(outside, script)))
        answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
        codes.append(str(answer.status_code))
    assert codes == ["201"] * 2 + ["429"] * 2
    assert len(script.scheduler.jobs) == 2
    refused = await ask_door(outside, script)
    headers = refused.headers or {}
    problem = json.loads(refused.data)
    assert (headers[ERROR_HEADER], problem["code"], problem["status"]) == ("rate.exceeded", "rate.exceeded", 429)
    assert 1 <= int(headers[RETRY_AFTER_HEADER]) <= 30
    assert "at most 2 write requests per 60 seconds" in problem["detail"]


async def test_nats_api_counts_reads_separately_and_per_tenant(script: Script, outside: Client) -> None:
    await script.publish_change(limit(script, 2))
    made = [await ask_door(outside, script) for _ in range(3)]
    assert [code_of(reply) for reply in made] == ["201", "201", "429"]
    job = json.dumps({"job_id": json.loads(made[0].data)["job_id"]}).encode()
    assert code_of(await ask_door(outside, script, job, NATS_CANCEL_JOB)) == "429"
    reads = [code_of(await ask_door(outside, script, job, NATS_READ_JOB)) for _ in range(3)]
    assert reads == ["201", "201", "429"]
    other = await outside.request(NATS_SUBMIT_JOB.subject(str(script.bob)), b'{"prompt": "a"}', timeout=10)
    assert code_of(other) == "201"


async def test_malformed_nats_requests_count_for_the_rate_limit(script: Script, outside: Client) -> None:
    await script.publish_change(limit(script, 3))
    codes = [code_of(await ask_door(outside, script, b"{")) for _ in range(5)]
    assert codes == ["400"] * 3 + ["429"] * 2


async def test_changed_rate_limit_applies_to_the_nats_api_at_once(script: Script, outside: Client) -> None:
    await script.publish_change(limit(script, 1))
    assert [code_of(await ask_door(outside, script)) for _ in range(2)] == ["201", "429"]
    await script.publish_change(limit(script, None))

    async def unlimited() -> bool:
        return code_of(await ask_door(outside, script)) == "201"

    await until(unlimited)


async def test_nats_api_serves_known_tenants_during_an_auth_outage(script: Script, outside: Client) -> None:
    assert code_of(await ask_door(outside, script)) == "201"
    await script.stop_auth()
    assert code_of(await ask_door(outside, script)) == "201"
    stranger = await outside.request(NATS_SUBMIT_JOB.subject(str(script.bob)), b'{"prompt": "a"}', timeout=10)
    assert code_of(stranger) == "503"


@pytest.mark.parametrize("tenant", ["_", "somebody", "00000000-0000-0000-0000-000000000000"])
async def test_nats_api_refuses_an_unknown_tenant(script: Script, outside: Client, tenant: str) -> None:
    reply = await outside.request(NATS_SUBMIT_JOB.subject(tenant), b'{"prompt": "a"}', timeout=10)
    assert (code_of(reply), json.loads(reply.data)["code"]) == ("404", "auth.user.not_found")
    assert not script.scheduler.submits


@pytest.mark.parametrize("sent", ["a b:c", "x" * 65, "\u00e9", '{"a":1}', "a\tb", "a/../b"])
async def test_nats_api_replaces_an_invalid_request_id(script: Script, outside: Client, sent: str) -> None:
    subject = NATS_SUBMIT_JOB.subject(str(script.alice))
    reply = await outside.request(subject, b"{", timeout=10, headers={REQUEST_ID_HEADER: sent})
    request_id = json.loads(reply.data)["request_id"]
    assert request_id != sent
    assert is_request_id(request_id)


@pytest.mark.parametrize("topic", [NATS_READ_JOB, NATS_CANCEL_JOB])
@pytest.mark.parametrize("body", [b"{}" + b" " * 2_000, json.dumps({f"k{n}": 1 for n in range(50_000)}).encode()])
async def test_nats_api_refuses_an_oversized_job_request(
    script: Script, outside: Client, topic: Any, body: bytes
) -> None:
    assert code_of(await ask_door(outside, script, body, topic)) == "413"
