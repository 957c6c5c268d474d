"""Every route with every kind of credential: only the combinations in this table are allowed.

Alice owns the objects in the paths. Bob is another user, once with a session and once with a key. "weak" is a key of
Alice's without the scope of the route, "nobody" sends no credential, "root" is an admin.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import create_app as create_gateway
from gateway.console.routes import PAGE_PATHS
from gateway.edge.access import find_requirement
from gateway.settings import Settings as GatewaySettings
from notifier.app import create_app as create_notifier
from notifier.settings import Settings as NotifierSettings
from tests.kit.fleet import HELLO, Fleet
from tests.kit.retrying_fleet import UNAVAILABLE, assert_registered, origin_client
from tests.kit.waiting import repeat_until

PASSWORD = "nobody else has this one yet"
SCOPES = ["jobs:read", "jobs:write", "keys"]
PICTURE = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgZGJmAQAAGQAL51pGpAAAAABJRU5ErkJggg==")
NOBODY = "01a207ba-9da5-7b63-8156-e4e4ca898bed"
ENDS_SESSION = "POST /api/v1/auth/logout"
WHO = ("alice", "bob", "bob_key", "weak", "nobody", "root")


@dataclass(frozen=True)
class Row:
    """Expected status per credential, in the order of ``WHO``.

    ``scope`` is the scope that the route declares; "" if any credential is accepted.
    """

    statuses: tuple[int, int, int, int, int, int]
    scope: str | None = ""
    json: dict[str, Any] | None = None
    paths: dict[str, str] = field(default_factory=dict)


def own(scope: str, status: int = 200, **more: Any) -> Row:
    """Return the row of a route on the user's own data: every user with the scope is allowed."""
    return Row((status, status, status, 403, 401, status), scope, **more)


def object_of_alice(scope: str, status: int = 200, **more: Any) -> Row:
    """Return the row of a route on an object of Alice's: others get the status of an object that does not exist."""
    return Row((status, 404, 404, 403, 401, 404), scope, **more)


def admins(status: int = 200, **more: Any) -> Row:
    """Return the row of a route for admins only."""
    return Row((403, 403, 403, 403, 401, status), "admin", **more)


def session_only(status: int) -> Row:
    """Return the row of a route that accepts a session but no API key."""
    return Row((status, status, 403, 403, 401, 403), "", json={})


def open_to_all(status: int = 200) -> Row:
    """Return the row of a route that needs no credential and ignores any."""
    return Row((status,) * 6, None)


ROWS: dict[str, Row] = {
    "POST /api/v1/jobs": own("jobs:write", 201, json={"workflow": HELLO}),
    "POST /api/v1/jobs/batch": own("jobs:write", json={"jobs": [{"workflow": HELLO}]}),
    "POST /api/v1/generate": own("jobs:write", json={"workflow": HELLO}),
    "GET /api/v1/jobs": own("jobs:read"),
    "GET /api/v1/jobs/{job_id}": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/events": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/outputs": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/outputs.zip": object_of_alice("jobs:read"),
    "POST /api/v1/jobs/{job_id}/share": object_of_alice("jobs:write", 201, json={}),
    "GET /api/v1/jobs/{job_id}/share": Row((200, 404, 404, 403, 401, 404), "jobs:read"),
    "DELETE /api/v1/jobs/{job_id}/share": Row((204, 404, 404, 403, 401, 404), "jobs:write"),
    "GET /api/v1/shared/{share_token}": own("jobs:read", 404),
    "GET /api/v1/jobs/{job_id}/submission": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/timeline": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/thumbnail": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/result": object_of_alice("jobs:read"),
    "HEAD /api/v1/jobs/{job_id}/result": object_of_alice("jobs:read"),
    "GET /api/v1/jobs/{job_id}/image": object_of_alice("jobs:read"),
    "HEAD /api/v1/jobs/{job_id}/image": object_of_alice("jobs:read"),
    "DELETE /api/v1/jobs/{job_id}": object_of_alice("jobs:write"),
    "POST /api/v1/jobs/{job_id}/cancel": object_of_alice("jobs:write"),
    "POST /api/v1/jobs/bulk": own("jobs:write", json={"action": "cancel", "job_ids": [NOBODY]}),
    "GET /api/v1/outputs": own("jobs:read"),
    "GET /api/v1/outputs.zip": own("jobs:read", 422),
    "POST /api/v1/outputs.zip": own("jobs:read", json={"job_ids": [NOBODY]}),
    "GET /api/v1/outputs/archive.zip": open_to_all(403),
    "GET /api/v1/outputs/{output_id}/content": open_to_all(403),
    "HEAD /api/v1/outputs/{output_id}/content": open_to_all(403),
    "GET /api/v1/outputs/{output_id}/thumbnail": open_to_all(403),
    "POST /api/v1/upload": own("jobs:write", 415, json={}),
    "GET /api/v1/uploads": own("jobs:read"),
    "GET /api/v1/uploads/{upload_id}": object_of_alice("jobs:read"),
    "GET /api/v1/uploads/{upload_id}/content": object_of_alice("jobs:read"),
    "HEAD /api/v1/uploads/{upload_id}/content": object_of_alice("jobs:read"),
    "DELETE /api/v1/uploads/{upload_id}": object_of_alice("jobs:write", 204),
    "GET /api/v1/workflows": own("jobs:read"),
    "GET /api/v1/workflows/{workflow_name}": object_of_alice("jobs:read"),
    "GET /api/v1/workflows/{workflow_name}/openapi.json": object_of_alice("jobs:read"),
    "POST /api/v1/workflows/{workflow_name}/jobs": object_of_alice("jobs:write", 201, json={}),
    "GET /api/v1/workflows/builtin": own("jobs:read"),
    "POST /api/v1/workflows/inputs": own("jobs:read", json={"workflow": HELLO}),
    "POST /api/v1/workflows/validate": own("jobs:write", json={}),
    "PUT /api/v1/workflows/{workflow_name}": own("jobs:write", 422, json={"workflow": {}}),
    "DELETE /api/v1/workflows/{workflow_name}": object_of_alice("jobs:write", 204),
    "GET /api/v1/models": own("jobs:read"),
    "GET /api/v1/nodes/classes": own("jobs:read"),
    "POST /api/v1/ws-tickets": own("jobs:read", 201),
    "POST /api/v1/auth/register": open_to_all(422),
    "POST /api/v1/auth/login": open_to_all(422),
    "POST /api/v1/auth/refresh": open_to_all(422),
    "POST /api/v1/auth/login-links/redeem": open_to_all(422),
    "POST /api/v1/auth/logout": session_only(204),
    "GET /api/v1/auth/sessions": session_only(200),
    "DELETE /api/v1/auth/sessions/{session_id}": session_only(404),
    "POST /api/v1/auth/password": session_only(422),
    "GET /api/v1/auth/me": Row((200, 200, 200, 200, 401, 200), ""),
    "POST /api/v1/auth/keys": own("keys", 201, json={"name": "another"}),
    "GET /api/v1/auth/keys": own("keys"),
    "DELETE /api/v1/auth/keys/{key_id}": object_of_alice("keys", 204),
    "GET /api/v1/admin/users": admins(),
    "GET /api/v1/admin/users/{user_id}": admins(),
    "GET /api/v1/auth/me/export": session_only(200),
    "DELETE /api/v1/auth/me": session_only(422),
    "DELETE /api/v1/admin/users/{user_id}": admins(404, paths={"user_id": NOBODY}),
    "PATCH /api/v1/admin/users/{user_id}": admins(json={"is_active": True}),
    "GET /api/v1/admin/tiers": admins(),
    # an empty change, because other tests depend on the current state
    "PATCH /api/v1/admin/tiers/{name}": admins(json={"limits": {"queue_cap": 10}}),
    "GET /api/v1/admin/class-rules": admins(),
    "PUT /api/v1/admin/class-rules/classes/{class_name}": admins(json={"verdict": "deny"}),
    "DELETE /api/v1/admin/class-rules/classes/{class_name}": admins(),
    "PUT /api/v1/admin/class-rules/packs/{pack}": admins(json={"verdict": "deny"}),
    "DELETE /api/v1/admin/class-rules/packs/{pack}": admins(),
    "GET /api/v1/admin/invites": admins(),
    "POST /api/v1/admin/invites": admins(201, json={"tier": "enterprise"}),
    "DELETE /api/v1/admin/invites/{invite_id}": admins(404),
    "GET /api/v1/usage": own("jobs:read"),
    "GET /api/v1/admin/usage": admins(),
    "GET /api/v1/admin/users/{user_id}/usage": admins(),
    "POST /api/v1/admin/users/{user_id}/login-links": admins(403),  # no API key, not even an admin's
    "GET /api/v1/admin/stats": admins(),
    "GET /api/v1/admin/queue": admins(),
    "GET /api/v1/admin/trends": admins(),
    "GET /api/v1/admin/audit": admins(),
    "GET /api/v1/admin/artifact-store": admins(),
    "POST /api/v1/admin/artifact-store/delete-orphans": admins(409, json={"count": 1}),
    "GET /api/v1/admin/dead-letters": admins(),
    "POST /api/v1/admin/dead-letters/{letter_id}/redrive": admins(404),
    "GET /api/v1/admin/nodes": admins(),
    "POST /api/v1/admin/nodes/{node}/cordon": admins(404),
    "POST /api/v1/admin/nodes/{node}/uncordon": admins(404),
    "POST /api/v1/admin/nodes/{node}/drain": admins(404),
    "POST /api/v1/admin/nodes/{node}/clear": admins(404),
    "POST /api/v1/admin/nodes/{node}/refresh": admins(404),
    "POST /api/v1/admin/nodes/refresh": admins(),
    "DELETE /api/v1/admin/nodes/{node}": admins(404),
    "GET /api/v1/admin/jobs": admins(),
    "GET /api/v1/admin/jobs/{job_id}": admins(),
    "PATCH /api/v1/admin/jobs/{job_id}": admins(409, json={"priority": 1}),
    "POST /api/v1/admin/jobs/{job_id}/cancel": admins(),
    "POST /api/v1/admin/jobs/{job_id}/hold": admins(409),
    "POST /api/v1/admin/jobs/{job_id}/release": admins(409),
    "POST /api/v1/admin/jobs/{job_id}/requeue": admins(409),
    "GET /.well-known/jwks.json": open_to_all(),
    "GET /healthz": open_to_all(),
    "GET /readyz": open_to_all(),
    "GET /openapi.json": open_to_all(),
    "HEAD /openapi.json": open_to_all(),
    "GET /docs": open_to_all(),
    "GET /docs/{asset}": open_to_all(),
    "GET /": open_to_all(),
    "GET /assets/{name}": open_to_all(404),
    "GET /asyncapi": open_to_all(),
    "GET /internal/inputs/{token}": open_to_all(403),
    "PUT /internal/outputs/{token}": open_to_all(403),
    "WS /ws/jobs/{job_id}": Row((101, 404, 404, 403, 4401, 404), None),
    "WS /ws": Row((101, 404, 404, 403, 4401, 404), None),
}


@dataclass
class World:
    """The objects in the paths, and the credentials."""

    fleet: Fleet
    paths: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    weak: dict[str, dict[str, str]] = field(default_factory=dict)

    sessions: dict[str, dict[str, str]] = field(default_factory=dict)

    async def headers_of(self, who: str, row: Row, http: httpx.AsyncClient) -> dict[str, str]:
        if who == "weak":
            return self.weak[row.scope or "jobs:read"]
        if who in {"alice", "bob"}:
            if who not in self.sessions:
                self.sessions[who] = await log_in(http, f"{who}-{self.fleet.process.pid}")
            return self.sessions[who]
        return self.headers[who]


@pytest.fixture(scope="module")
async def world(fleet: Fleet) -> World:
    made = World(fleet)
    pid = fleet.process.pid
    async with fleet.client("") as http:
        for name in ("alice", "bob"):
            account = {"username": f"{name}-{pid}", "email": f"{name}-{pid}@example.com", "password": PASSWORD}
            answer = await http.post("/auth/register", json=account)
            assert_registered(answer)
        root = {"X-API-Key": fleet.credentials["admin_key"]}
        alice, bob = [await log_in(http, f"{name}-{pid}") for name in ("alice", "bob")]
        for user in (await http.get("/admin/users", params={"search": f"-{pid}"}, headers=root)).json()["users"]:
            answer = await http.patch(f"/admin/users/{user['id']}", json={"tier": "enterprise"}, headers=root)
            assert answer.status_code == 200, answer.text
            if user["username"] == f"alice-{pid}":
                made.paths["user_id"] = user["id"]
        made.weak = {
            scope: {"X-API-Key": (await key(http, alice, [one for one in SCOPES if one != scope]))["key"]}
            for scope in (*SCOPES, "admin")
        }
        made.headers = {"nobody": {}, "root": root, "bob_key": {"X-API-Key": (await key(http, bob, SCOPES))["key"]}}
        job = await http.post("/jobs", json={"workflow": HELLO}, headers=alice)
        assert job.status_code == 201, job.text
        made.paths |= {"job_id": job.json()["job_id"], "name": "free", "token": "no-such-token", "node": "no-such-node"}
        made.paths |= {"asset": "swagger-ui.css", "class_name": "NoSuchClass", "pack": "custom_nodes.none"}
        made.paths["invite_id"] = made.paths["letter_id"] = made.paths["session_id"] = NOBODY
        made.paths["invite_id"] = made.paths["letter_id"] = made.paths["output_id"] = made.paths["share_token"] = NOBODY
        made.paths["workflow_name"] = f"alice-{pid}"
        saved = await http.put(f"/workflows/alice-{pid}", json={"workflow": HELLO}, headers=alice)
        assert saved.status_code == 201, saved.text
        uploaded = await http.post("/upload", content=PICTURE, headers={"Content-Type": "image/png", **alice})
        assert uploaded.status_code == 201, uploaded.text
        made.paths["upload_id"] = uploaded.json()["id"]
        made.paths["key_id"] = (await key(http, alice, SCOPES))["id"]
    async with fleet.client(made.weak["keys"]["X-API-Key"]) as reader:
        assert (await fleet.wait_until_ended(reader, made.paths["job_id"]))["status"] == "completed"
    return made


async def log_in(http: httpx.AsyncClient, name: str) -> dict[str, str]:
    answer = await http.post("/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def key(http: httpx.AsyncClient, session: dict[str, str], scopes: list[str]) -> dict[str, Any]:
    answer = await http.post("/auth/keys", json={"name": "matrix", "scopes": scopes}, headers=session)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def routes() -> dict[str, Any]:
    """Return every route of the two public services, by method and path."""
    nowhere = {"database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none", "nats_url": "nats://127.0.0.1:1"}
    gateway = GatewaySettings.model_validate(
        {
            **nowhere,
            "secret_key": "0123456789abcdef0123456789abcdef",
            "artifacts_url": Path("/tmp").as_uri(),
            "docs_public": True,
        }
    )
    found: dict[str, Any] = {}
    for app in (create_gateway(gateway), create_notifier(NotifierSettings.model_validate(nowhere))):
        for route in _flat(app.routes):
            methods = getattr(route, "methods", None) or ("WS",)
            found |= {f"{method} {_path(route)}": getattr(route, "original_route", route) for method in methods}
    return found


def _path(route: Any) -> str:
    if route.path in PAGE_PATHS:
        return "/"  # one page for every path of the console
    path = str(route.path or route.original_route.path)  # only the WebSocket route itself checks the scope
    return path.replace(":path}", "}")


def _flat(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """Return all routes, those of included routers with their full path."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            yield from contexts()


@pytest.mark.requirement("S-4")
def test_each_route_declares_the_access_in_its_matrix_row() -> None:
    there = routes()
    assert there.keys() == ROWS.keys()
    for name, route in there.items():
        needs = find_requirement(route) if isinstance(route, APIRoute) else None
        declared = None if needs is None else (needs.scope or "")
        assert declared == ROWS[name].scope, name


@pytest.mark.requirement("S-2", "credential.required")
@pytest.mark.parametrize("who", [who for who in WHO if who != "alice"] + ["alice"])
async def test_each_credential_reaches_only_its_routes(world: World, who: str) -> None:
    wrong: dict[str, str] = {}
    async with world.fleet.client("") as api, origin_client(world.fleet) as http:
        for name, row in ROWS.items():
            if name.startswith("WS"):
                continue
            method, template = name.split(" ")
            sent = {} if row.scope is None and method == "POST" else row.json
            path, headers = _filled(template, world.paths | row.paths), await world.headers_of(who, row, api)
            answer = await http.request(method, path, headers=headers, json=sent)
            if name == ENDS_SESSION:
                world.sessions.pop(who, None)
            if answer.status_code != row.statuses[WHO.index(who)]:
                wrong[name] = f"{answer.status_code} {answer.text[:500]}"
            elif who in {"bob", "bob_key", "nobody"} and "{" not in template:
                alices = (world.paths["job_id"], f"alice-{world.fleet.process.pid}")
                if any(text in answer.text for text in alices):
                    wrong[name] = f"shows an object of Alice's: {answer.text[:500]}"
    assert wrong == {}


@pytest.mark.requirement("S-1")
async def test_foreign_object_is_answered_like_an_absent_one(world: World) -> None:
    some_id = "01a207ba-9da5-7b63-8156-e4e4ca898bed"
    other = {"key_id": "0" * 12, "job_id": some_id, "upload_id": some_id, "workflow_name": "nobodys"}
    names = [
        name
        for name, row in ROWS.items()
        if row.statuses[WHO.index("bob_key")] == 404 != row.statuses[WHO.index("alice")] and not name.startswith("WS")
    ]
    async with origin_client(world.fleet, headers=world.headers["bob_key"]) as http:
        for name in names:
            method, template = name.split(" ")
            foreign, absent = [
                await http.request(method, _filled(template, paths), json=ROWS[name].json)
                for paths in (world.paths, other)
            ]
            assert (foreign.status_code, absent.status_code) == (404, 404), name
            assert _impersonal(foreign) == _impersonal(absent), name


def _filled(template: str, paths: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda match: paths[match[1]], template)


def _impersonal(answer: httpx.Response) -> tuple[Any, ...]:
    """Return the response without request ids and times."""
    body = answer.json() if answer.content else {}
    changing = {"x-request-id", "date", "content-length"}
    kept = [
        name
        for name in answer.headers
        if name.lower() not in changing and not name.lower().startswith(("ratelimit", "x-ratelimit"))
    ]
    return {name: body[name] for name in body if name not in {"instance", "request_id"}}, sorted(kept)


@pytest.mark.requirement("S-2", "S-73")
@pytest.mark.parametrize("who", WHO)
async def test_websocket_shows_no_foreign_job(world: World, who: str) -> None:
    for name, row in ROWS.items():
        if name.startswith("WS "):
            async with world.fleet.client("") as http:
                headers = await world.headers_of(who, row, http)
            url = world.fleet.base_url.replace("http", "ws", 1) + _filled(name.removeprefix("WS "), world.paths)
            found = await repeat_until(
                lambda status: status != UNAVAILABLE, partial(_shown, url, headers, world.paths["job_id"])
            )
            assert found == row.statuses[WHO.index(who)], name


async def _shown(url: str, headers: dict[str, str], job_id: str) -> int:
    """Return 101 if the job can be watched; otherwise the status, close code, or frame of the refusal.

    It is 503 while a service is unavailable.
    """
    try:
        async with connect(url, additional_headers=headers) as socket:
            if not headers:
                await socket.send('{"type": "auth", "key": "nobody"}')
            elif job_id not in url:
                await socket.send(json.dumps({"type": "subscribe", "job_id": job_id}))
            try:
                frame = json.loads(await socket.recv())
                if frame.get("code") == "service.unavailable":
                    return UNAVAILABLE
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
            return 404 if frame.get("code") == "job.not_found" else 101
    except InvalidStatus as refused:
        return refused.response.status_code
