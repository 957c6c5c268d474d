import json
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from chassis.served import ERROR_CODE_HEADER, ERROR_HEADER, REQUEST_ID_HEADER
from contracts.gateway import DOOR_CANCEL, DOOR_READ, DOOR_SUBMIT
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script


async def ask(gateway: Gateway, subject: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[Any, Any]:
    """As an outside system asks once the server has written its tenant into the subject."""
    client = Client()
    await client.connect(gateway.nats_url)
    reply = await client.request(subject, body, timeout=10, headers=headers)
    await client.close()
    return json.loads(reply.data), reply.headers or {}


async def test_the_door_answers_what_http_answers(gateway: Gateway, script: Script) -> None:
    alice = str(script.alice)
    made, headers = await ask(gateway, DOOR_SUBMIT.subject(alice), b'{"prompt": "a"}')
    assert ERROR_HEADER not in headers
    over_http = (await gateway.http.get(f"/api/v1/jobs/{made['job_id']}", headers=ALICE)).json()
    assert made == over_http
    job = json.dumps({"job_id": made["job_id"]}).encode()
    assert (await ask(gateway, DOOR_READ.subject(alice), job))[0] == over_http
    assert (await ask(gateway, DOOR_CANCEL.subject(alice), job))[0]["status"] == "cancelled"


async def test_a_refusal_is_the_problem_of_http(gateway: Gateway, script: Script) -> None:
    made, _ = await ask(gateway, DOOR_SUBMIT.subject(str(script.alice)), b'{"prompt": "a"}')
    job = json.dumps({"job_id": made["job_id"]}).encode()
    over_http = (await gateway.http.get(f"/api/v1/jobs/{uuid4()}", headers=ALICE)).json()
    named = {REQUEST_ID_HEADER: "its-own"}
    problem, headers = await ask(gateway, DOOR_READ.subject(str(script.bob)), job, named)
    assert headers[ERROR_CODE_HEADER] == "404"
    assert headers[ERROR_HEADER] == "job.not_found"
    assert problem.pop("request_id") == "its-own"
    assert (await ask(gateway, DOOR_SUBMIT.subject(str(script.bob)), b"{", named))[0]["request_id"] == "its-own"
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
    ],
)
async def test_bad_input_is_refused_like_http_does(gateway: Gateway, script: Script, body: bytes) -> None:
    problem, headers = await ask(gateway, DOOR_SUBMIT.subject(str(script.alice)), body)
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE | {"Content-Type": "application/json"}, content=body)
    malformed = problem["code"] == "request.malformed"
    assert headers[ERROR_CODE_HEADER] == str(answer.status_code) == ("400" if malformed else "422")
    assert (problem["code"], problem["errors"]) == (answer.json()["code"], answer.json()["errors"])
    assert not script.scheduler.submits


async def test_the_door_takes_an_idempotency_key(gateway: Gateway, script: Script) -> None:
    subject = DOOR_SUBMIT.subject(str(script.alice))
    made = [
        (await ask(gateway, subject, b'{"prompt": "a"}', {"Idempotency-Key": "door"}))[0]["job_id"] for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(script.scheduler.jobs) == 1
