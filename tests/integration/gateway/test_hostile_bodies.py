"""Expensive request bodies are refused, and large ordinary ones are accepted."""

import hashlib
import json
from typing import Any

import orjson
import pytest

from chassis.ids import is_request_id
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script

HOSTILE: dict[str, tuple[dict[str, Any], str | None]] = {
    "unknown fields": ({"prompt": "a", **{f"k{n}": 1 for n in range(49_000)}}, "too_many_errors"),
    "labels": ({"prompt": "a", "labels": {f"k{n}": 1 for n in range(49_000)}}, "too_many_errors"),
    "parameters": ({"workflow_name": "a", "parameters": {f"k{n}": 1 for n in range(49_000)}}, "too_long"),
    "malformed nodes": ({"workflow": dict.fromkeys(map(str, range(1_990)), 1)}, "node_malformed"),
    "nodes": ({"workflow": dict.fromkeys(map(str, range(90_000)), None)}, None),
    "integers": (
        {"workflow": {str(n): {"class_type": "A", "inputs": {"x": 2**70}} for n in range(1_990)}},
        "integer_out_of_range",
    ),
    "more than 4 MiB": (
        {"workflow": {"1": {"class_type": "A", "inputs": {f"t{n}": "x" * 1_000_000 for n in range(5)}}}},
        "workflow_too_large",
    ),
}  # fmt: skip


@pytest.mark.requirement("B-47")
@pytest.mark.parametrize("name", HOSTILE)
async def test_body_with_thousands_of_errors_gets_a_bounded_answer(
    shared_gateway: Gateway, shared_script: Script, name: str
) -> None:
    body, code = HOSTILE[name]
    answer = await shared_gateway.http.post("/api/v1/jobs", headers=ALICE, json=body)
    assert answer.status_code in {400, 422}
    assert len(answer.content) < 64 * 1024
    assert code is None or {error["code"] for error in answer.json()["errors"]} == {code}
    assert not shared_script.scheduler.submits


@pytest.mark.parametrize("number", ["9" * 4_200, "-" + "9" * 500, "0." + "1" * 2_000, "1" * 2_000 + ".0"])
async def test_large_body_with_costly_numbers_is_refused(shared_gateway: Gateway, number: str) -> None:
    nodes = ",".join(f'"{n}":{{"class_type":"A","inputs":{{"k":{number}}}}}' for n in range(400))
    headers = ALICE | {"Content-Type": "application/json"}
    answer = await shared_gateway.http.post(
        "/api/v1/jobs", headers=headers, content=f'{{"workflow":{{{nodes}}}}}'.encode()
    )
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "json_number")


@pytest.mark.parametrize("filling", ["x", "\u20ac", "\\", "\n", "\U0001f600"])
async def test_idempotency_works_for_large_workflows(gateway: Gateway, script: Script, filling: str) -> None:
    workflow: dict[str, Any] = {
        "b": {
            "class_type": "A",
            "inputs": {"z": 1.5, "a": [None, True, {}, []], "text": filling * 20_000},
            "_meta": {},
        },
        "a": {"class_type": "A", "inputs": {"n": {"__value__": [1, {"y": 2, "x": -(2**63)}]}, "m": 2**64 - 1}},
    }
    workflow["b"]["inputs"]["a"] = {"__value__": [None, True, {}, []]}
    submission = {"workflow": workflow, "labels": {"k": "v"}, "priority": 3}
    keyed = ALICE | {"Idempotency-Key": f"large-{ord(filling)}"}
    made = await gateway.http.post("/api/v1/jobs", headers=keyed, json=submission)
    assert made.status_code == 201, made.text
    turned = json.loads(json.dumps(submission, sort_keys=True))
    again = await gateway.http.post("/api/v1/jobs", headers=keyed, json=turned)
    assert again.json()["job_id"] == made.json()["job_id"]
    whole = hashlib.sha256(orjson.dumps(submission, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert {asked.request_hash for asked in script.scheduler.submits} == {whole}


@pytest.mark.parametrize("sent", ["a b:c", "a:b", "x" * 65, '{"a":1}', "a/b", "%0d%0a", "a,b"])
async def test_malformed_request_id_is_replaced(shared_gateway: Gateway, sent: str) -> None:
    answer = await shared_gateway.http.get("/api/v1/jobs", headers=ALICE | {"X-Request-Id": sent})
    assert answer.headers["x-request-id"] != sent
    assert is_request_id(answer.headers["x-request-id"])
    kept = await shared_gateway.http.get("/api/v1/jobs", headers=ALICE | {"X-Request-Id": "its_own.id-1"})
    assert kept.headers["x-request-id"] == "its_own.id-1"
