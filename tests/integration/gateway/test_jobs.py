import json
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.messaging import streams
from contracts.executor.progress import PROGRESS, Progress
from contracts.registry import STREAMS
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import InvalidWorkflow, SubmitJob
from contracts.scheduler.usage import QueueFull
from contracts.wire.errors import FieldError
from tests.integration.gateway.conftest import ALICE, BOB, PUBLIC, Gateway
from tests.kit.scripted import CHECKPOINT, Script
from tests.kit.waiting import until

WORKFLOW = {"1": {"class_type": "SaveImage", "inputs": {}}}


@pytest.mark.requirement("POST /api/v1/jobs")
async def test_prompt_becomes_the_built_in_graph(gateway: Gateway, script: Script) -> None:
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a", "seed": 2**64 - 1})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    job_id = body["job_id"]
    assert answer.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert body["status"] == "pending"
    assert body["queue_position"] == 1
    assert body["urls"] == {
        "self": f"{PUBLIC}/api/v1/jobs/{job_id}",
        "events": f"{PUBLIC}/api/v1/jobs/{job_id}/events",
        "ws": f"wss://fleet.example/ws/jobs/{job_id}",
        "result": f"{PUBLIC}/api/v1/jobs/{job_id}/result",
        "cancel": f"{PUBLIC}/api/v1/jobs/{job_id}/cancel",
    }
    assert answer.headers["x-quota-limit"] == "10"
    assert answer.headers["x-quota-remaining"] == "9"
    assert 0 < int(answer.headers["x-quota-reset"]) <= 3600
    assert "idempotent-replayed" not in answer.headers
    submitted = script.scheduler.submits[0]
    assert submitted.workflow == "text-to-image"
    assert submitted.graph["checkpoint"]["inputs"]["ckpt_name"] == "common.safetensors"
    assert submitted.graph["sampler"]["inputs"]["seed"] == 2**64 - 1


async def test_repeated_submission_with_the_same_key_returns_the_same_job(gateway: Gateway, script: Script) -> None:
    headers = ALICE | {"Idempotency-Key": "k1"}
    ordered = {"prompt": "a", "steps": 3, "labels": {"a": "1", "b": "2", "c": "3"}}
    otherwise = {"labels": {"c": "3", "b": "2", "a": "1"}, "steps": 3, "prompt": "a"}
    first = await gateway.http.post("/api/v1/jobs", headers=headers, json=ordered)
    second = await gateway.http.post("/api/v1/jobs", headers=headers, json=otherwise)
    other = await gateway.http.post("/api/v1/jobs", headers=headers, json={"prompt": "b"})
    assert second.status_code == 201
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json()["job_id"] == first.json()["job_id"]
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency.key_reused"
    assert len(script.scheduler.jobs) == 1


async def test_submission_options_reach_the_scheduler(gateway: Gateway, script: Script) -> None:
    said = {"priority": -7, "labels": {"a": "1"}, "start_within_seconds": 30, "run_within_seconds": 9.5}
    for body in ({"prompt": "a", "seed": 11, "model": "rare.safetensors"}, {"workflow": WORKFLOW}):
        answer = await gateway.http.post("/api/v1/jobs", headers=ALICE | {"Idempotency-Key": "k"}, json=body | said)
        assert answer.status_code == 201, answer.text
        script.scheduler.keys.clear()
    first, second = script.scheduler.submits
    for asked in (first, second):
        assert asked.model_dump(include={*said}) == said
        assert (asked.idempotency_key, asked.fail_without_outputs) == ("k", False)
    assert (first.workflow, first.model, first.seed) == ("text-to-image", "rare.safetensors", 11)
    assert (second.workflow, second.model, second.seed, second.graph) == ("custom", None, None, WORKFLOW)


async def test_submission_can_choose_to_fail_without_outputs(gateway: Gateway, script: Script) -> None:
    for choice in ("warn", "fail"):
        body = {"workflow": WORKFLOW, "on_no_outputs": choice}
        assert (await gateway.http.post("/api/v1/jobs", headers=ALICE, json=body)).status_code == 201
    assert [asked.fail_without_outputs for asked in script.scheduler.submits] == [False, True]
    unknown = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a", "on_no_outputs": "ignore"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/on_no_outputs")


@pytest.mark.requirement("B-21")
async def test_two_idempotency_key_headers_are_refused(gateway: Gateway, script: Script) -> None:
    headers = [*ALICE.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await gateway.http.post("/api/v1/jobs", headers=headers, json={"prompt": "a"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key_malformed")
    assert not script.scheduler.submits


@pytest.mark.requirement("B-21")
@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü", "a\tb", "\x7f"])
async def test_malformed_idempotency_key_is_refused(shared_gateway: Gateway, shared_script: Script, key: str) -> None:
    headers = httpx.Headers(ALICE | {"Idempotency-Key": key}, encoding="latin-1")
    answer = await shared_gateway.http.post("/api/v1/jobs", headers=headers, json={"prompt": "a"})
    assert answer.status_code == 400
    assert not shared_script.scheduler.submits


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-API-Key", "")],
        [("X-API-Key", "nobody's")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic YTpi")],
        [("X-API-Key", "alice-key"), ("X-API-Key", "alice-key")],
        [("X-API-Key", "alice-key"), ("Authorization", "Bearer alice-key")],
        [("Authorization", "Bearer " + "x" * 600)],
    ],
)
async def test_request_without_a_valid_credential_is_refused(
    shared_gateway: Gateway, shared_script: Script, headers: list[tuple[str, str]]
) -> None:
    shared_script.auth.verified.clear()
    answer = await shared_gateway.http.post("/api/v1/jobs", headers=headers, json={"prompt": "a"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "auth.credential.invalid"
    asked = {"nobody's"} if ("X-API-Key", "nobody's") in headers else set()
    # Gateways periodically verify cached keys again.
    assert set(shared_script.auth.verified) - {"alice-key", "bob-key"} == asked
    assert not shared_script.scheduler.submits


async def test_api_key_is_accepted_as_a_bearer_token(gateway: Gateway) -> None:
    answer = await gateway.http.get("/api/v1/models", headers={"Authorization": "bearer alice-key"})
    assert answer.json() == {"models": {CHECKPOINT: ["common.safetensors", "rare.safetensors"]}}


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"{", "request.malformed", ""),
        (b"", "request.malformed", ""),
        (b'{"prompt": NaN}', "request.malformed", "/prompt"),
        (b'{"prompt": "a", "prompt": "b"}', "request.malformed", ""),
        (b'{"prompt": "\\u0000"}', "request.malformed", ""),
        (b'{"prompt": "\\ud800"}', "request.malformed", ""),
        (b'{"prompt": "\xff"}', "request.malformed", ""),
        (
            b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": 1e999}}}}',
            "request.malformed",
            "/workflow/1/inputs/x",
        ),
        (b'{"workflow": ' + b'{"a":' * 40 + b"1" + b"}" * 41, "request.malformed", ""),
        (b'{"workflow": ' + b"[" * 100_000, "request.malformed", ""),
        (b"[]", "request.invalid", ""),
        (b"{}", "request.invalid", ""),
        (b'{"prompt": "a", "steps": "7"}', "request.invalid", "/steps"),
        (b'{"prompt": "a", "steps": 151}', "request.invalid", "/steps"),
        (b'{"prompt": "a", "width": 65}', "request.invalid", "/width"),
        (b'{"prompt": "a", "seed": 18446744073709551616}', "request.invalid", "/seed"),
        (b'{"prompt": "a", "tenant_id": "x"}', "request.invalid", "/tenant_id"),
        (
            json.dumps({"prompt": "a", "labels": dict.fromkeys("abcdefghijklmnopqrstu", "x")}),
            "request.invalid",
            "/labels",
        ),
        (b'{"prompt": "a", "priority": 101}', "request.invalid", "/priority"),
        (b'{"prompt": "a", "workflow": {"1": {}}}', "request.invalid", ""),
        (b'{"workflow": {}}', "workflow.invalid", "/workflow"),
        (
            b'{"workflow": {"1": {"class_type": "A", "inputs": null}}}',
            "workflow.invalid",
            "/workflow/1",
        ),
        (
            b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": 18446744073709551616}}}}',
            "workflow.invalid",
            "/workflow/1/inputs/x",
        ),
    ],
)
async def test_invalid_submission_is_refused_and_not_forwarded(
    shared_gateway: Gateway, shared_script: Script, body: bytes, code: str, pointer: str
) -> None:
    headers = ALICE | {"Content-Type": "application/json"}
    answer = await shared_gateway.http.post("/api/v1/jobs", headers=headers, content=body)
    assert answer.status_code == (400 if code == "request.malformed" else 422), answer.text
    problem = answer.json()
    assert problem["code"] == code
    assert problem["errors"][0].get("pointer", "") == pointer
    assert "input" not in problem["errors"][0] or code == "workflow.invalid"
    assert not shared_script.scheduler.submits


async def test_oversized_submission_body_is_refused(gateway: Gateway, script: Script) -> None:
    headers = ALICE | {"Content-Type": "application/json"}
    answer = await gateway.http.post(
        "/api/v1/jobs", headers=headers, content=b'{"prompt": "' + b"x" * (8 << 20) + b'"}'
    )
    assert answer.status_code == 413
    assert not script.scheduler.submits


async def test_prompt_is_refused_as_model_missing_if_the_fleet_has_no_models(gateway: Gateway, script: Script) -> None:
    script.scheduler.models = {}
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "model.missing"


async def test_errors_of_the_built_in_graph_point_at_the_request_field(gateway: Gateway, script: Script) -> None:
    def refuse(_: SubmitJob) -> None:
        error = FieldError(
            pointer="/workflow/checkpoint/inputs/ckpt_name", code="value_not_in_list", message="No such model.",
            node_id="checkpoint", input="ckpt_name", allowed=("common.safetensors",),
        )  # fmt: skip
        raise InvalidWorkflow((error,))

    script.scheduler.before_submit = refuse
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a", "model": "none"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "pointer": "/model",
            "code": "value_not_in_list",
            "message": "No such model.",
            "allowed": ["common.safetensors"],
        }
    ]


async def test_exceeded_limit_returns_429(gateway: Gateway, script: Script) -> None:
    def refuse(_: SubmitJob) -> None:
        raise QueueFull(cap=3, retry_after_s=7)

    script.scheduler.before_submit = refuse
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": WORKFLOW})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"


async def test_job_of_another_tenant_is_not_found(gateway: Gateway, script: Script) -> None:
    made = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": WORKFLOW})
    foreign = UUID(made.json()["job_id"])
    assert (await gateway.http.get(f"/api/v1/jobs/{foreign}", headers=ALICE)).status_code == 200
    seen = []
    for method, tail in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/result"), ("GET", "/image"),
                         ("GET", "/outputs"), ("GET", "/events")]:  # fmt: skip
        for job_id in (str(foreign), str(uuid4()), "nonsense", str(foreign).upper()):
            answer = await gateway.http.request(method, f"/api/v1/jobs/{job_id}{tail}", headers=BOB)
            assert answer.status_code == 404, (method, tail, job_id)
            problem = answer.json()
            assert problem.pop("instance").endswith(tail)
            assert problem.pop("request_id") == answer.headers["x-request-id"]
            seen.append(json.dumps(problem))
    assert len(set(seen)) == 1
    assert script.scheduler.jobs[foreign].state is JobState.QUEUED


async def test_cancel_is_idempotent_and_returns_the_state(gateway: Gateway) -> None:
    made = (await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": WORKFLOW})).json()
    for method, path in [("DELETE", ""), ("POST", "/cancel"), ("DELETE", "")]:
        answer = await gateway.http.request(method, f"/api/v1/jobs/{made['job_id']}{path}", headers=ALICE)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_job_list_is_paged_with_its_cursor(gateway: Gateway) -> None:
    made = [
        (await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": WORKFLOW})).json()["job_id"]
        for _ in range(5)
    ]
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        query = {"limit": "2", "status": "pending"} | ({"cursor": cursor} if cursor else {})
        page = (await gateway.http.get("/api/v1/jobs", headers=ALICE, params=query)).json()
        seen += [job["job_id"] for job in page["jobs"]]
        if page["next_cursor"]:
            cursor = page["next_cursor"]
    assert seen == made[::-1]
    assert page["next_cursor"] is None
    for headers, query in [
        (ALICE, {"cursor": cursor}),
        (BOB, {"cursor": cursor, "status": "pending"}),
        (ALICE, {"cursor": f"{cursor}x", "status": "pending"}),
        (ALICE, {"cursor": "é", "status": "pending"}),
        (ALICE, {"limit": "0"}),
        (ALICE, {"limit": "101"}),
        (ALICE, {"status": "running"}),
        (ALICE, {"label": "nocolon"}),
        (ALICE, {"label": "key:"}),
        (ALICE, {"label": ":value"}),
    ]:
        answer = await gateway.http.get("/api/v1/jobs", headers=headers, params=query)
        assert answer.status_code == 422, (query, answer.text)


FILTERS = [
    ({"status": "processing"}, {"status": "pending"}),
    ({"workflow": "portrait"}, {"workflow": "landscape"}),
    ({"label": "campaign:autumn:2026"}, {"label": "campaign:autumn"}),
    ({"created_after": "2026-01-01T00:00:00Z"}, {"created_after": "2026-01-01T00:00:01Z"}),
    ({"created_before": "2099-01-01T00:00:00Z"}, {"created_before": "2099-01-01T00:00:01Z"}),
]


@pytest.mark.parametrize(("filters", "other"), FILTERS)
async def test_list_filters_reach_the_scheduler_and_bind_the_cursor(
    gateway: Gateway, script: Script, filters: dict[str, str], other: dict[str, str]
) -> None:
    for _ in range(2):
        script.scheduler.change(script.scheduler.add(script.alice, uuid4()).job_id, JobState.LEASED)
    page = (await gateway.http.get("/api/v1/jobs", headers=ALICE, params={"limit": 1, **filters})).json()
    asked = script.scheduler.lists[-1].model_dump(exclude_defaults=True)
    [(name, value)] = filters.items()
    assert asked.keys() == {"limit", "states" if name == "status" else name}
    match name:
        case "status":
            assert asked["states"] == (JobState.LEASED, JobState.RUNNING)
        case "label":
            assert asked["label"] == ("campaign", "autumn:2026")
        case "workflow":
            assert asked["workflow"] == value
        case _:
            assert asked[name] == datetime.fromisoformat(value)
    for query, status in (filters, 200), (other, 422), ({}, 422):
        sent = {"limit": "1", "cursor": page["next_cursor"], **query}
        assert (await gateway.http.get("/api/v1/jobs", headers=ALICE, params=sent)).status_code == status


async def test_job_shows_the_latest_known_progress(gateway: Gateway, script: Script) -> None:
    await streams.create_missing_streams(script.bus, STREAMS)
    job = script.scheduler.add(script.alice, uuid4())
    script.scheduler.change(job.job_id, JobState.LEASED)
    event = script.scheduler.change(job.job_id, JobState.RUNNING)
    said = Progress(job_id=job.job_id, attempt=1, progress=42, at=event.at)
    await script.bus.publish(PROGRESS, said, tenant=str(script.alice), key=str(job.job_id))

    async def shown() -> tuple[str, float]:
        body = (await gateway.http.get(f"/api/v1/jobs/{job.job_id}", headers=ALICE)).json()
        return body["status"], body["progress"]

    async def fresh() -> bool:
        return await shown() == ("processing", 42)

    await until(fresh)
    script.scheduler.jobs[job.job_id] = script.scheduler.jobs[job.job_id].model_copy(update={"progress": 60.0})
    assert await shown() == ("processing", 60)
    script.scheduler.jobs[job.job_id] = script.scheduler.jobs[job.job_id].model_copy(update={"progress": 0.0})
    script.scheduler.change(job.job_id, JobState.QUEUED)
    script.scheduler.change(job.job_id, JobState.LEASED)
    assert await shown() == ("processing", 0)  # the new attempt has reported no progress yet


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/events")
async def test_event_stream_ends_with_the_job(gateway: Gateway, script: Script) -> None:
    job = script.scheduler.add(script.alice, uuid4())
    script.scheduler.change(job.job_id, JobState.LEASED)
    seen = []
    async with gateway.http.stream("GET", f"/api/v1/jobs/{job.job_id}/events", headers=ALICE) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
            if line.startswith(": waiting") and len(seen) == 2:
                script.scheduler.change(job.job_id, JobState.RUNNING)
                script.scheduler.change(job.job_id, JobState.CANCELLED)
                seen.append({})
    assert [frame.get("seq") for frame in seen] == [1, 2, None, 3, 4]
    assert seen[-1]["status"] == "cancelled"
    again = await gateway.http.get(f"/api/v1/jobs/{job.job_id}/events", headers=ALICE | {"Last-Event-ID": "3"})
    assert [line for line in again.text.splitlines() if line.startswith("id:")] == ["id: 4"]
    restored = await gateway.http.get(f"/api/v1/jobs/{job.job_id}/events", headers=ALICE | {"Last-Event-ID": "9"})
    assert [line for line in restored.text.splitlines() if line.startswith("id:")] == [f"id: {n}" for n in (1, 2, 3, 4)]


async def test_openapi_contains_every_route(gateway: Gateway) -> None:
    document = (await gateway.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert not [path for path in document["paths"] if path.startswith("/internal")]
    assert document["components"]["schemas"]["Problem"]["properties"]["errors"]
