import asyncio
import json
from copy import deepcopy
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest

from contracts.gateway.nats_api import NATS_SUBMIT_JOB
from contracts.scheduler.submissions import InvalidWorkflow, SubmitJob
from contracts.wire.errors import FieldError
from gateway.workflows.schemas import MAX_VERSIONS, MAX_WORKFLOWS
from tests.integration.gateway.conftest import ALICE, BOB, PUBLIC, Gateway
from tests.integration.gateway.test_nats_surface import ask
from tests.kit.scripted import Script
from tests.kit.waiting import repeat_until

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
}
PARAMETERS = {
    "color": {"node": "1", "input": "color", "minimum": 0, "maximum": 0xFFFFFF, "title": "Colour"},
    "name": {"node": "2", "input": "filename_prefix", "required": True, "enum": ["plain", "fancy"]},
}
SAVED = {"workflow": GRAPH, "parameters": PARAMETERS, "description": "One colour."}
AT_ONCE = 20


@pytest.fixture
def name() -> str:
    return f"w-{uuid4().hex}"


async def save(gateway: Gateway, name: str, body: Any = SAVED, who: dict[str, str] = ALICE) -> httpx.Response:
    return await gateway.http.put(f"/api/v1/workflows/{name}", headers=who, json=body)


async def save_when_available(gateway: Gateway, name: str, body: Any, who: dict[str, str]) -> httpx.Response:
    """Save, and repeat on 503: concurrent saves wait up to 5 s for one lock. A repeated save has no effect."""
    return await repeat_until(lambda answer: answer.status_code != 503, lambda: save(gateway, name, body, who))


async def submit(gateway: Gateway, body: Any, who: dict[str, str] = ALICE) -> httpx.Response:
    return await gateway.http.post("/api/v1/jobs", headers=who, json=body)


def recoloured(color: int) -> dict[str, Any]:
    graph = deepcopy(GRAPH)
    graph["1"]["inputs"]["color"] = color
    return {"workflow": graph}


async def test_workflow_is_saved_and_read(gateway: Gateway, name: str) -> None:
    saved = await save(gateway, name)
    assert saved.status_code == 201, saved.text
    body = saved.json()
    assert body | {"created_at": ""} == {
        "name": name,
        "version": 1,
        "created_at": "",
        "description": "One colour.",
        "parameters": {
            "type": "object",
            "properties": {
                "color": {"type": "integer", "title": "Colour", "default": 0, "minimum": 0, "maximum": 0xFFFFFF},
                "name": {"type": "string", "enum": ["plain", "fancy"]},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        "targets": {"color": {"node": "1", "input": "color"}, "name": {"node": "2", "input": "filename_prefix"}},
        "workflow": GRAPH,
    }
    assert (await gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)).json() == body


async def test_changed_content_creates_a_new_version(gateway: Gateway, name: str) -> None:
    answers = [await save(gateway, name, recoloured(color)) for color in (1, 1, 2, 1)]
    assert [(one.status_code, one.json()["version"]) for one in answers] == [(201, 1), (200, 1), (201, 2), (201, 3)]
    for version, color in ((1, 1), (2, 2), (3, 1)):
        read = await gateway.http.get(f"/api/v1/workflows/{name}", params={"version": version}, headers=ALICE)
        assert (read.json()["version"], read.json()["workflow"]["1"]["inputs"]["color"]) == (version, color)
    newest = await gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)
    assert newest.json()["version"] == 3
    absent = await gateway.http.get(f"/api/v1/workflows/{name}", params={"version": 4}, headers=ALICE)
    assert (absent.status_code, absent.json()["code"]) == (404, "workflow.not_found")


async def test_concurrent_saves_create_consecutive_versions(gateway: Gateway, name: str) -> None:
    answers = await asyncio.gather(*[save(gateway, name, recoloured(color)) for color in range(12)])
    assert sorted(one.json()["version"] for one in answers) == list(range(1, 13))
    assert {one.status_code for one in answers} == {201}


async def test_saved_workflow_keeps_large_numbers_and_node_order(gateway: Gateway, name: str) -> None:
    graph = {str(n): GRAPH["1"] for n in (9, 1, 5)} | {
        "0": {"class_type": "A", "inputs": {"seed": 2**64 - 1, "f": 1.0}}
    }
    await save(gateway, name, {"workflow": graph})
    read = (await gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)).text
    assert list(json.loads(read)["workflow"]) == ["9", "1", "5", "0"]
    assert str(2**64 - 1) in read


async def test_workflows_are_listed_most_recently_changed_first(gateway: Gateway, script: Script, name: str) -> None:
    script.auth.keys["lister-key"] = uuid4()
    who = {"X-API-Key": "lister-key"}
    for one in ("a", "b", "c"):
        await save(gateway, f"{name[:50]}{one}", who=who)
    await save(gateway, f"{name[:50]}a", recoloured(3), who)
    first = (await gateway.http.get("/api/v1/workflows", params={"limit": 2}, headers=who)).json()
    assert [(one["name"][-1], one["version"]) for one in first["workflows"]] == [("a", 2), ("c", 1)]
    cursor = first["next_cursor"]
    rest = (await gateway.http.get("/api/v1/workflows", params={"limit": 2, "cursor": cursor}, headers=who)).json()
    assert [one["name"][-1] for one in rest["workflows"]] == ["b"]
    assert rest["next_cursor"] is None
    assert rest["workflows"][0].keys() == {"name", "version", "description", "created_at"}
    theirs = await gateway.http.get("/api/v1/workflows", params={"cursor": cursor}, headers=BOB)
    assert (theirs.status_code, theirs.json()["code"]) == (422, "cursor.invalid")


async def test_deleting_a_workflow_deletes_all_versions(gateway: Gateway, name: str) -> None:
    await save(gateway, name)
    await save(gateway, name, recoloured(1))
    gone = await gateway.http.delete(f"/api/v1/workflows/{name}", headers=ALICE)
    assert (gone.status_code, gone.content) == (204, b"")
    for path in (f"/api/v1/workflows/{name}", f"/api/v1/workflows/{name}?version=1"):
        assert (await gateway.http.get(path, headers=ALICE)).status_code == 404
    assert (await gateway.http.delete(f"/api/v1/workflows/{name}", headers=ALICE)).status_code == 404
    assert (await save(gateway, name)).json()["version"] == 1


def parameter(**more: Any) -> dict[str, Any]:
    return {"workflow": GRAPH, "parameters": {"a": more}}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"workflow": {"nodes": [], "links": [], "version": 0.4}}, "/workflow", "workflow_ui_format"),
        ({"workflow": {}}, "/workflow", "workflow_not_a_graph"),
        ({"workflow": {"1": {"class_type": "A"}}}, "/workflow/1", "node_malformed"),
        ({"workflow": {"1": {"inputs": {}}}}, "/workflow/1", "node_malformed"),
        (
            {"workflow": {"1": {"class_type": "A", "inputs": {"x": 2**64}}}},
            "/workflow/1/inputs/x",
            "integer_out_of_range",
        ),
        ({}, "/workflow", "missing"),
        ({"workflow": GRAPH, "more": 1}, "/more", "extra_forbidden"),
        ({"workflow": GRAPH, "parameters": {"a-b": {"node": "1", "input": "color"}}}, "/parameters/a-b", None),
        (parameter(node="1", input="no"), "/parameters/a", "parameter_target_missing"),
        (parameter(node="1", input="color", type="array"), "/parameters/a/type", "enum"),
        (parameter(node="1", input="color", default="1", type="integer"), "/parameters/a/default", "parameter_type"),
    ],
)  # fmt: skip
async def test_invalid_workflow_is_not_saved(
    shared_gateway: Gateway, name: str, body: Any, pointer: str, code: str | None
) -> None:
    refused = await save(shared_gateway, name, body)
    assert refused.status_code == 422, refused.text
    error = refused.json()["errors"][0]
    assert error["pointer"].startswith(pointer)
    assert code in {None, error["code"]}
    assert (await shared_gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)).status_code == 404


async def test_saving_an_editor_file_is_refused_with_instructions(gateway: Gateway, name: str) -> None:
    refused = await save(gateway, name, {"workflow": {"nodes": [], "links": []}})
    assert "Export (API)" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("bad", ["A", "-a", "a.b", "a" * 64, "custom", "text-to-image"])
async def test_invalid_workflow_name_is_refused(shared_gateway: Gateway, bad: str) -> None:
    refused = await save(shared_gateway, bad)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/name")
    assert (await shared_gateway.http.get(f"/api/v1/workflows/{bad}", headers=ALICE)).json()[
        "code"
    ] == "workflow.not_found"


async def test_workflow_body_over_1_mib_is_refused(gateway: Gateway, name: str) -> None:
    refused = await save(gateway, name, recoloured(0) | {"description": "x" * (1 << 20)})
    assert (refused.status_code, refused.json()["code"]) == (413, "request.too_large")


async def test_number_of_workflows_and_versions_is_limited(gateway: Gateway, script: Script, name: str) -> None:
    script.auth.keys[f"hoarder-{name}"] = uuid4()
    who = {"X-API-Key": f"hoarder-{name}"}
    for first in range(0, MAX_WORKFLOWS, AT_ONCE):
        several = range(first, min(first + AT_ONCE, MAX_WORKFLOWS))
        saved = await asyncio.gather(*[save_when_available(gateway, f"a{n}", SAVED, who) for n in several])
        assert {one.status_code for one in saved} <= {200, 201}
    over = await save(gateway, "one-more", who=who)
    assert (over.status_code, over.json()["code"]) == (409, "workflow.too_many")
    again = [await save(gateway, "a0", recoloured(n), who) for n in range(MAX_VERSIONS - 1)]
    assert again[-1].json()["version"] == MAX_VERSIONS
    over = await save(gateway, "a0", recoloured(0), who)
    assert (over.status_code, over.json()["code"]) == (409, "workflow.too_many_versions")
    assert (await save(gateway, "a0", recoloured(MAX_VERSIONS - 2), who)).status_code == 200


async def test_job_by_workflow_name_runs_the_graph_with_parameter_values(
    gateway: Gateway, script: Script, name: str
) -> None:
    await save(gateway, name)
    await save(gateway, name, recoloured(1))
    sent = {"workflow_name": name, "version": 1, "parameters": {"name": "fancy", "color": 7}}
    assert (await submit(gateway, sent)).status_code == 201
    assert (await submit(gateway, {"workflow_name": name})).status_code == 201
    first, newest = script.scheduler.submits
    assert (first.workflow, newest.workflow) == (name, name)
    assert first.graph["1"]["inputs"] == GRAPH["1"]["inputs"] | {"color": 7}
    assert first.graph["2"]["inputs"] == {"images": ["1", 0], "filename_prefix": "fancy"}
    assert newest.graph == recoloured(1)["workflow"]
    kept = await gateway.http.get(f"/api/v1/workflows/{name}", params={"version": 1}, headers=ALICE)
    assert kept.json()["workflow"] == GRAPH


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({}, ("/name", "parameter_missing", None)),
        ({"name": "other"}, ("/name", "parameter_choice", ["plain", "fancy"])),
        ({"name": "plain", "color": "7"}, ("/color", "parameter_type", ["integer"])),
        ({"name": "plain", "color": -1}, ("/color", "parameter_range", [0, 0xFFFFFF])),
        ({"name": "plain", "size": 1}, ("/size", "parameter_unknown", ["color", "name"])),
    ],
)
async def test_invalid_parameter_values_are_refused(
    shared_gateway: Gateway, shared_script: Script, name: str, parameters: Any, fault: tuple[Any, ...]
) -> None:
    await save(shared_gateway, name)
    by_name = await submit(shared_gateway, {"workflow_name": name, "parameters": parameters})
    own = await shared_gateway.http.post(f"/api/v1/workflows/{name}/jobs", headers=ALICE, json=parameters)
    for answer, prefix in ((by_name, "/parameters"), (own, "")):
        assert (answer.status_code, answer.json()["code"]) == (422, "workflow.parameters_invalid"), answer.text
        error = answer.json()["errors"][0]
        assert (error["pointer"], error["code"], error.get("allowed")) == (f"{prefix}{fault[0]}", *fault[1:])
    assert not shared_script.scheduler.submits


@pytest.mark.requirement("submission.one-kind")
@pytest.mark.parametrize(
    "body",
    [
        {"workflow_name": "a", "prompt": "a"},
        {"workflow_name": "a", "workflow": GRAPH},
        {"workflow_name": "a", "steps": 3},
        {"prompt": "a", "parameters": {}},
        {"workflow": GRAPH, "version": 1},
        {"workflow_name": "A"},
        {"workflow_name": "a", "version": 0},
        {"workflow_name": "a", "version": "1"},
        {"workflow_name": "a", "parameters": []},
    ],
)
async def test_submission_with_two_kinds_of_content_is_refused(
    shared_gateway: Gateway, shared_script: Script, body: Any
) -> None:
    refused = await submit(shared_gateway, body)
    assert (refused.status_code, refused.json()["code"]) == (422, "request.invalid")
    assert not shared_script.scheduler.submits


async def test_workflow_endpoint_takes_parameters_and_returns_a_job(
    gateway: Gateway, script: Script, name: str
) -> None:
    await save(gateway, name)
    path, headers = f"/api/v1/workflows/{name}/jobs", ALICE | {"Idempotency-Key": name}
    made = await gateway.http.post(path, headers=headers, json={"name": "fancy"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/api/v1/jobs/{made.json()['job_id']}"
    assert made.headers["x-quota-limit"] == "10"
    assert script.scheduler.submits[0].graph["2"]["inputs"]["filename_prefix"] == "fancy"
    read = await gateway.http.get(f"/api/v1/jobs/{made.json()['job_id']}", headers=ALICE)
    assert read.json() == made.json()
    again = await gateway.http.post(path, headers=headers, json={"name": "fancy"})
    assert (again.json()["job_id"], again.headers["idempotent-replayed"]) == (made.json()["job_id"], "true")
    other = await gateway.http.post(path, headers=headers, json={"name": "plain"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
    for content in (b"[]", b'"a"', b"null"):
        typed = ALICE | {"Content-Type": "application/json"}
        refused = await gateway.http.post(path, headers=typed, content=content)
        assert (refused.status_code, refused.json()["code"]) == (422, "request.invalid")


async def test_replay_returns_the_same_job_after_a_new_version(gateway: Gateway, script: Script, name: str) -> None:
    await save(gateway, name, recoloured(1))
    first = await submit(gateway, {"workflow_name": name}, ALICE | {"Idempotency-Key": name})
    await save(gateway, name, recoloured(2))
    again = await submit(gateway, {"workflow_name": name}, ALICE | {"Idempotency-Key": name})
    assert again.json()["job_id"] == first.json()["job_id"]
    assert len(script.scheduler.jobs) == 1


async def test_replay_returns_the_same_job_although_it_would_be_refused_now(
    gateway: Gateway, script: Script, name: str
) -> None:
    body, headers = {"workflow_name": name}, ALICE | {"Idempotency-Key": name}
    await save(gateway, name, recoloured(1))
    first = await submit(gateway, body, headers)
    await save(gateway, name)  # the new version requires a parameter
    again = await submit(gateway, body, headers)
    assert (again.json()["job_id"], again.headers["idempotent-replayed"]) == (first.json()["job_id"], "true")
    unknown = await submit(gateway, body, ALICE | {"Idempotency-Key": f"{name}-new"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/parameters/name")
    assert len(script.scheduler.jobs) == 1


async def test_nats_api_accepts_saved_workflows_like_http(gateway: Gateway, script: Script, name: str) -> None:
    await save(gateway, name)
    subject = NATS_SUBMIT_JOB.subject(str(script.alice))
    sent = {"workflow_name": name, "parameters": {"name": "fancy"}}
    made, _ = await ask(gateway, subject, json.dumps(sent).encode())
    assert made["status"] == "pending"
    assert script.scheduler.submits[0].workflow == name
    refused, _ = await ask(gateway, subject, json.dumps({"workflow_name": name}).encode())
    assert (refused["status"], refused["errors"][0]["pointer"]) == (422, "/parameters/name")
    absent, _ = await ask(gateway, NATS_SUBMIT_JOB.subject(str(script.bob)), json.dumps(sent).encode())
    assert (absent["status"], absent["code"]) == (404, "workflow.not_found")


async def test_fleet_validation_errors_point_at_the_parameter(gateway: Gateway, script: Script, name: str) -> None:
    def refuse(_: SubmitJob) -> None:
        faults = [("1", "color"), ("1", "width")]
        errors = [
            FieldError(pointer=f"/workflow/{node}/inputs/{input_}", code="c", message="m", node_id=node, input=input_)
            for node, input_ in faults
        ]
        raise InvalidWorkflow(tuple(errors))

    await save(gateway, name)
    script.scheduler.before_submit = refuse
    by_name = await submit(gateway, {"workflow_name": name, "parameters": {"name": "plain"}})
    own = await gateway.http.post(f"/api/v1/workflows/{name}/jobs", headers=ALICE, json={"name": "plain"})
    assert by_name.json()["code"] == own.json()["code"] == "workflow.invalid"
    assert [one["pointer"] for one in by_name.json()["errors"]] == ["/parameters/color", ""]
    assert [one["pointer"] for one in own.json()["errors"]] == ["/color", ""]
    assert by_name.json()["errors"][1]["node_id"] == "1"


@pytest.mark.requirement("S-1")
async def test_workflow_of_another_tenant_is_not_found(gateway: Gateway, script: Script, name: str) -> None:
    await save(gateway, name)
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/workflows/{}", None),
        ("GET", "/api/v1/workflows/{}?version=1", None),
        ("GET", "/api/v1/workflows/{}/openapi.json", None),
        ("POST", "/api/v1/workflows/{}/jobs", {"name": "plain"}),
        ("DELETE", "/api/v1/workflows/{}", None),
    ]
    for method, path, body in calls:
        for one in (name, "nobodys", "NO~NAME"):
            answer = await gateway.http.request(method, path.format(one), headers=BOB, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "workflow.not_found"), (method, path)
    for one in (name, "nobodys"):
        answer = await submit(gateway, {"workflow_name": one, "parameters": {"name": "plain"}}, BOB)
        assert (answer.status_code, answer.json()["code"]) == (404, "workflow.not_found")
    listed = await gateway.http.get("/api/v1/workflows", params={"limit": 100}, headers=BOB)
    assert name not in listed.text
    assert (await save(gateway, name, recoloured(1), BOB)).json()["version"] == 1
    assert (await gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)).json()["workflow"] == GRAPH
    assert not script.scheduler.submits


@pytest.mark.requirement(
    "POST /api/v1/workflows/{workflow_name}/jobs", "GET /api/v1/workflows/{workflow_name}/openapi.json"
)
async def test_each_workflow_has_its_own_openapi_document(gateway: Gateway, name: str) -> None:
    await save(gateway, name)
    answer = await gateway.http.get(f"/api/v1/workflows/{name}/openapi.json", headers=ALICE)
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": PUBLIC}]
    assert list(document["paths"]) == [f"/api/v1/workflows/{name}/jobs"]
    post = document["paths"][f"/api/v1/workflows/{name}/jobs"]["post"]
    saved = (await gateway.http.get(f"/api/v1/workflows/{name}", headers=ALICE)).json()
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema == saved["parameters"]
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"name": "plain", "color": 3})
    for wrong in ({}, {"name": "x"}, {"name": "plain", "color": "3"}, {"name": "plain", "more": 1}):
        assert not validator.is_valid(wrong)
    answer_of = post["responses"]["201"]["content"]["application/json"]["schema"]
    made = await gateway.http.post(f"/api/v1/workflows/{name}/jobs", headers=ALICE, json={"name": "plain"})
    whole = answer_of | {"components": document["components"]}
    assert jsonschema_rs.validator_for(whole).is_valid(made.json())
    assert all(pointed.removeprefix("#/components/schemas/") in document["components"]["schemas"]
               for pointed in _references(document))  # fmt: skip


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for one in value for found in _references(one)]
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for one in value.values() for found in _references(one)]
    return []
