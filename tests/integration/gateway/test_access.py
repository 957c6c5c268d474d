"""Access of each kind of credential to the routes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from uuid import uuid4

import httpx
import pytest

from contracts.auth.accounts import Role
from contracts.auth.audit import RECORD_DENIAL, RecordDenial
from contracts.auth.credentials import Scope
from contracts.auth.fields import Done
from contracts.scheduler.jobs import JobState
from contracts.wire.topic import Address
from gateway.app import create_app
from gateway.edge.denials import MAX_PER_SECOND
from tests.integration.gateway.conftest import ALICE, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.scripted_auth import SigningKey
from tests.kit.serving import serving
from tests.kit.waiting import until

MODELS = "/api/v1/models"


@pytest.mark.requirement("B-1")
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Basic YWxpY2U6eA==")],
        [(b"authorization", b"KEY")],
        [(b"authorization", b"Bearer KEY"), (b"authorization", b"Bearer KEY")],
        [(b"authorization", b"Bearer KEY"), (b"x-api-key", b"KEY")],
        [(b"x-api-key", b"KEY"), (b"x-api-key", b"KEY-2")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"KEY\xff")],
        [(b"x-api-key", b"KEY key")],
        [(b"x-api-key", b"k" * 12 * 1024)],
    ],
)
async def test_malformed_credential_is_refused_without_a_request_to_auth(
    shared_gateway: Gateway, shared_script: Script, headers: list[tuple[bytes, bytes]]
) -> None:
    """``KEY`` in a header is replaced by a valid key."""
    key = f"malformed-{uuid4()}"
    shared_script.auth.keys[key] = shared_script.alice
    shared_script.auth.verified.clear()
    sent = [(name, value.replace(b"KEY", key.encode())) for name, value in headers]
    answer = await shared_gateway.http.get(MODELS, headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "auth.credential.invalid"
    # The gateway periodically verifies cached keys of other tests again.
    assert set(shared_script.auth.verified) <= {"alice-key", "bob-key"}


@pytest.mark.requirement("B-2")
async def test_only_a_currently_valid_access_token_is_accepted(gateway: Gateway, script: Script) -> None:
    auth, now = script.auth, int(datetime.now(UTC).timestamp())
    tokens = {
        "good": auth.token(script.alice),
        "expired": auth.token(script.alice, exp=now - 60),
        "not yet": auth.token(script.alice, iat=now + 3600, nbf=now + 3600),
        "for others": auth.token(script.alice, aud="others"),
        "by others": auth.token(script.alice, iss="others"),
        "to refresh with": auth.token(script.alice, typ="rt+jwt"),
        "by another key": auth.token(script.alice, key=SigningKey()),
        "by an unknown key": auth.token(script.alice, key=SigningKey(kid="other")),
        "a key": "alice.key.x",
    }

    async def status(name: str) -> int:
        return (await gateway.http.get(MODELS, headers={"Authorization": f"Bearer {tokens[name]}"})).status_code

    async def works() -> bool:
        return await status("good") == 200

    await until(works)
    assert {name: await status(name) for name in tokens if name != "good"} == dict.fromkeys(
        [name for name in tokens if name != "good"], 401
    )


@pytest.mark.requirement("B-2")
async def test_deactivated_user_is_refused_at_once(gateway: Gateway, script: Script) -> None:
    assert (await gateway.http.get(MODELS, headers=ALICE)).status_code == 200
    await script.publish_change(script.auth.change(script.alice, is_active=False, void_tokens=True))

    async def refused() -> bool:
        return (await gateway.http.get(MODELS, headers=ALICE)).status_code == 401

    await until(refused)


@pytest.mark.requirement("B-2")
async def test_event_stream_ends_with_its_credential(gateway: Gateway, script: Script) -> None:
    job = script.scheduler.add(script.alice, uuid4())
    path = f"/api/v1/jobs/{job.job_id}/events"
    async with asyncio.timeout(30), gateway.http.stream("GET", path, headers=ALICE) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines)
        await script.publish_change(script.auth.change(script.alice, is_active=False, void_tokens=True))
        async for _ in lines:
            pass
    assert script.scheduler.jobs[job.job_id].state is JobState.QUEUED


@pytest.mark.requirement("B-8")
async def test_identity_headers_from_clients_are_ignored(gateway: Gateway, script: Script) -> None:
    made = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
    spoof = {"X-User-Id": str(script.alice), "X-Forwarded-User": str(script.alice), "X-Tenant-Id": str(script.alice)}
    url = f"/api/v1/jobs/{made.json()['job_id']}"
    assert (await gateway.http.get(url, headers=spoof)).status_code == 401
    assert (await gateway.http.get(url, headers=spoof | {"X-API-Key": "bob-key"})).status_code == 404


@pytest.fixture
async def told() -> list[tuple[str, RecordDenial]]:
    return []


@pytest.fixture
async def listening(
    nats_server: NatsServer, database_url: str, tmp_path: Path, told: list[tuple[str, RecordDenial]]
) -> AsyncIterator[tuple[httpx.AsyncClient, Script]]:
    """A gateway with a fake auth service that appends reported denials to ``told``."""
    script = Script(nats_server.url)

    async def record(denial: RecordDenial, address: Address) -> Done:
        told.append((address.tenant, denial))
        return Done()

    script.auth_bus.serve(RECORD_DENIAL, record)
    await script.start()
    app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield http, script
    await script.stop()


@pytest.mark.requirement("B-2")
async def test_missing_scope_is_named_and_audited(
    listening: tuple[httpx.AsyncClient, Script], told: list[tuple[str, RecordDenial]]
) -> None:
    http, script = listening
    script.auth.scopes["alice-key"] = (Scope.JOBS_READ,)
    assert (await http.get(MODELS, headers=ALICE)).status_code == 200
    answer = await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope.missing")
    assert Scope.JOBS_WRITE in answer.json()["detail"]
    assert not script.scheduler.submits
    await until(lambda: bool(told))
    tenant, denial = told[0]
    assert tenant == str(script.alice)
    assert denial.model_dump() == {
        "what": "POST /api/v1/jobs",
        "code": "auth.scope.missing",
        "key_id": "id-of-alice-key",
        "ip": "127.0.0.1",
    }


@pytest.mark.requirement("B-2")
@pytest.mark.parametrize("host", ["a/b?", "["])
async def test_host_header_does_not_change_the_audited_path(
    listening: tuple[httpx.AsyncClient, Script], told: list[tuple[str, RecordDenial]], host: str
) -> None:
    http, script = listening
    script.auth.scopes["alice-key"] = (Scope.JOBS_READ,)
    answer = await http.post("/api/v1/jobs", headers=ALICE | {"Host": host}, json={"prompt": "a"})
    assert answer.status_code == 403
    await until(lambda: bool(told))
    assert told[0][1].what == "POST /api/v1/jobs"


@pytest.mark.requirement("B-2")
async def test_denials_are_audited_at_a_bounded_rate_without_delaying_responses(
    listening: tuple[httpx.AsyncClient, Script], told: list[tuple[str, RecordDenial]]
) -> None:
    http, script = listening
    script.auth.scopes["alice-key"] = (Scope.JOBS_READ,)
    began = monotonic()
    codes = [(await http.delete("/api/v1/jobs/x", headers=ALICE)).status_code for _ in range(60)]
    most = MAX_PER_SECOND * (1 + monotonic() - began)
    assert set(codes) == {403}
    await until(lambda: len(told) >= MAX_PER_SECOND)
    assert len(told) <= most


async def test_open_routes_work_during_an_auth_outage(own_nats: NatsServer, database_url: str, tmp_path: Path) -> None:
    script = Script(own_nats.url)
    await script.start()
    app = create_app_with_long_timeouts(settings_for(own_nats.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        assert (await http.get(MODELS, headers=ALICE)).status_code == 200
        await script.stop_auth()
        answer = await http.get(MODELS, headers={"X-API-Key": "bob-key"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get(MODELS, headers=ALICE)).status_code == 200, "verified before"
        assert (await http.get("/openapi.json", headers={"X-API-Key": "bob-key"})).status_code == 200
        assert (await http.get(MODELS)).status_code == 401
    await script.stop()


async def test_openapi_declares_the_credential_each_route_needs(nats_server: NatsServer, tmp_path: Path) -> None:
    document = create_app(settings_for(nats_server.url, "postgresql+asyncpg://x@127.0.0.1:1/x", tmp_path)).openapi()
    needed = {
        (path, method): [next(iter(scheme.items())) for scheme in operation.get("security", ())]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/v1/jobs") or path == MODELS
    }
    for scope in ("jobs:read", "jobs:write"):
        assert [("ApiKey", [scope]), ("Bearer", [scope]), ("Password", [scope])] in needed.values()
    assert {asked for asked, schemes in needed.items() if ("Password", ["jobs:write"]) in schemes} == {
        ("/api/v1/jobs", "post"),
        ("/api/v1/jobs/batch", "post"),
        ("/api/v1/jobs/bulk", "post"),
        ("/api/v1/jobs/{job_id}", "delete"),
        ("/api/v1/jobs/{job_id}/cancel", "post"),
        ("/api/v1/jobs/{job_id}/share", "post"),
        ("/api/v1/jobs/{job_id}/share", "delete"),
    }
    assert all(needed.values())
    flow = document["components"]["securitySchemes"]["Password"]["flows"]["password"]
    assert (flow["tokenUrl"], {*flow["scopes"]}) == ("/api/v1/auth/login", {*Scope})


async def test_admin_may_use_every_user_route(gateway: Gateway, script: Script) -> None:
    script.auth.change(script.bob, role=Role.ADMIN)
    assert (await gateway.http.get(MODELS, headers={"X-API-Key": "bob-key"})).status_code == 200
