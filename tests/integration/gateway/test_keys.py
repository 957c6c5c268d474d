"""API keys over HTTP, with the real auth service."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.gateway.real_auth import House
from tests.kit.waiting import until

KEYS = "/api/v1/auth/keys"
ALL = ["jobs:read", "jobs:write", "keys"]


async def make(house: House, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = await house.http.post(KEYS, headers=headers, json={"name": "k"} | body)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


@pytest.mark.requirement("S-20", "POST /api/v1/auth/keys", "body.key")
async def test_api_key_is_shown_once(house: House) -> None:
    _, session = await house.user()
    until_then = (datetime.now(UTC) + timedelta(days=7)).isoformat(timespec="seconds").replace("+00:00", "Z")
    answer = await house.http.post(KEYS, headers=session, json={"name": "box", "expires_at": until_then})
    key = answer.json()
    assert key.keys() == {"id", "key", "name", "scopes", "expires_at", "created_at"}
    assert (key["scopes"], key["expires_at"]) == (["jobs:read", "jobs:write"], until_then)
    assert answer.headers["location"] == f"{KEYS}/{key['id']}"
    assert answer.headers["cache-control"] == "no-store"
    listed = (await house.http.get(KEYS, headers=session)).json()
    assert listed["next_cursor"] is None
    (shown,) = listed["keys"]
    assert shown.keys() == {"id", "name", "prefix", "scopes", "expires_at", "created_at", "last_used_at"}
    assert key["key"].startswith(shown["prefix"])
    assert len(shown["prefix"]) < len(key["key"]) - 30


@pytest.mark.requirement("S-54", "table auth.api_keys", "table auth.key_requests")
async def test_same_idempotency_key_returns_the_same_api_key(house: House) -> None:
    _, session = await house.user()
    headers = session | {"Idempotency-Key": "once"}
    first = await house.http.post(KEYS, headers=headers, json={"name": "k"})
    again = await house.http.post(KEYS, headers=headers, json={"name": "k"})
    other = await house.http.post(KEYS, headers=headers, json={"name": "other"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "auth.key.idempotency_reused")
    malformed = await house.http.post(KEYS, headers=session | {"Idempotency-Key": "a b"}, json={"name": "k"})
    assert malformed.status_code == 400


@pytest.mark.requirement("S-24")
async def test_api_key_creates_keys_only_with_the_keys_scope_and_never_wider_ones(house: House) -> None:
    _, session = await house.user()
    plain = {"X-API-Key": (await make(house, session))["key"]}
    assert (await house.http.post(KEYS, headers=plain, json={"name": "k"})).status_code == 403
    maker = {"X-API-Key": (await make(house, session, scopes=["jobs:read", "keys"]))["key"]}
    await make(house, maker, scopes=["jobs:read"])
    wider = await house.http.post(KEYS, headers=maker, json={"name": "k", "scopes": ALL})
    assert (wider.status_code, wider.json()["code"]) == (403, "auth.scope.not_granted")


@pytest.mark.requirement("S-5")
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"scopes": "keys"}, "/scopes"),
        ({"expires_at": 4_102_444_800}, "/expires_at"),
        ({"expires_at": "4102444800"}, "/expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
        ({"user_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"}, "/user_id"),
        ({"name": ""}, "/name"),
    ],
)
async def test_invalid_key_request_is_refused(house: House, body: dict[str, Any], pointer: str) -> None:
    answer = await house.http.post(KEYS, headers=house.admin, json={"name": "k"} | body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.requirement("S-23")
async def test_revoked_key_is_refused_and_revoking_again_succeeds(house: House) -> None:
    _, session = await house.user()
    key = await make(house, session)
    headers = {"X-API-Key": key["key"]}
    assert (await house.http.get("/api/v1/auth/me", headers=headers)).status_code == 200
    assert (await house.http.delete(f"{KEYS}/{key['id']}", headers=session)).status_code == 204

    async def refused() -> bool:
        return (await house.http.get("/api/v1/auth/me", headers=headers)).status_code == 401

    await until(refused)
    assert (await house.http.delete(f"{KEYS}/{key['id']}", headers=session)).status_code == 204
    assert (await house.http.get(KEYS, headers=session)).json()["keys"] == []


@pytest.mark.requirement("S-1")
async def test_foreign_and_malformed_key_ids_are_not_found(house: House) -> None:
    _, session = await house.user()
    _, other = await house.user()
    key = await make(house, session)
    for key_id in (key["id"], "0" * 12, "x" * 65, "a-b"):
        answer = await house.http.delete(f"{KEYS}/{key_id}", headers=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "auth.key.not_found")
    assert (await house.http.get("/api/v1/auth/me", headers={"X-API-Key": key["key"]})).status_code == 200
