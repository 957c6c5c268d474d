"""Accounts, sessions and keys on the whole system."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import httpx
import pytest

from authn.authenticator import INVALID_CACHE_S
from tests.e2e.conftest import simulated_only
from tests.kit.fleet import HELLO, Fleet
from tests.kit.freezing import frozen
from tests.kit.retrying_fleet import assert_registered, client_without_retries
from tests.kit.waiting import repeat_until, until

PASSWORD = "seventeen blue lanterns at sea"
WITHIN_S = 8.0
"""A gateway reads changes whose event was lost every 10 s. ``integration/authn/test_identity.py`` proves that the event
alone takes effect."""
LIFTED_LIMIT = 1_000_000  # requests per minute of a key; a session may send more


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def registered(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """Register a new account whose name has this prefix; returns its first session."""
    username = f"{name}-{secrets.token_hex(4)}"
    account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    answer = await client.post("/auth/register", json=account)
    assert_registered(answer)
    session = await logged_in(client, username)
    if answer.status_code != 201:  # an earlier attempt of the retrying transport created the account
        answer = await client.get("/auth/me", headers=bearer(session))
    user: dict[str, Any] = answer.json()
    return user | session


async def logged_in(client: httpx.AsyncClient, username: str) -> dict[str, Any]:
    answer = await client.post("/auth/login", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    # a gateway that has just started has no verification keys yet
    await until(partial(is_let_in, client, bearer(session)))
    return session


async def registered_without_rate_limit(fleet: Fleet, client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """Register an account that may send any number of requests, as a test that polls does."""
    user = await registered(client, name)
    await asyncio.to_thread(fleet.lift_rate_limit, user["id"])

    async def is_lifted() -> bool:
        answer = await client.get("/auth/me", headers=bearer(user))
        return int(answer.headers.get("x-ratelimit-limit", 0)) >= LIFTED_LIMIT

    await until(is_lifted)
    return user


async def new_key(client: httpx.AsyncClient, session: dict[str, Any], *scopes: str) -> dict[str, Any]:
    wanted = {"name": "e2e"} | ({"scopes": list(scopes)} if scopes else {})
    answer = await client.post("/auth/keys", json=wanted, headers=bearer(session))
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


@pytest.fixture
async def public(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a credential."""
    async with fleet.client("") as opened:
        yield opened


@pytest.fixture
async def admin(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    async with fleet.client(fleet.credentials["admin_key"]) as opened:
        yield opened


async def status(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
    return (await client.get("/auth/me", headers=headers)).status_code


@pytest.mark.requirement("POST /api/v1/auth/register", "GET /api/v1/auth/me", "table auth.users")
async def test_new_user_registers_and_generates_an_image(fleet: Fleet, public: httpx.AsyncClient) -> None:
    user = await registered_without_rate_limit(fleet, public, "ada")
    assert (user["tier"], user["role"], user["is_active"]) == ("free", "user", True)
    assert (user["token_type"], "password" in user) == ("bearer", False)
    me = (await public.get("/auth/me", headers=bearer(user))).json()
    assert me["id"] == user["id"]
    assert me["limits"]["images_per_day"] == 10
    assert (me["used_today"], me["left_today"], me["running"], me["queued"]) == (0, 10, 0, 0)
    key = await new_key(public, user)
    assert key["scopes"] == ["jobs:read", "jobs:write"]
    async with fleet.client(key["key"]) as client:
        job = await fleet.submit(client, workflow=HELLO)
        # up to date at once, because the submission went through this gateway
        assert (await client.get("/auth/me")).json()["used_today"] > 0
        ended = await fleet.wait_until_ended(client, job["job_id"])
        assert ended["status"] == "completed", ended
        assert (await client.get(f"/jobs/{job['job_id']}/result")).content.startswith(b"\x89PNG")
        assert (await client.get("/auth/keys")).status_code == 403  # the key lacks the scope
    listed = (await public.get("/auth/keys", headers=bearer(user))).json()
    assert [kept["id"] for kept in listed["keys"]] == [key["id"]]
    assert "key" not in listed["keys"][0]


TABLE = {
    # tier: images per day, running jobs, weight, queue cap, requests per minute
    "free": (10, 1, 1, 10, 30),
    "basic": (100, 2, 2, 100, 120),
    "pro": (1000, 5, 4, 500, 600),
    "enterprise": (None, None, 8, None, None),
}


@pytest.mark.requirement(
    "S-46",
    "GET /api/v1/admin/users",
    "GET /api/v1/admin/users/{user_id}",
    "PATCH /api/v1/admin/users/{user_id}",
    "tier pro",
    "tier enterprise",
)
async def test_tier_change_takes_effect_without_a_restart(
    fleet: Fleet, public: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    user = await registered(public, "climber")
    key = {"X-API-Key": (await new_key(public, user))["key"]}
    for tier, (images, running, weight, queue, requests) in TABLE.items():
        changed = await admin.patch(f"/admin/users/{user['id']}", json={"tier": tier})
        assert changed.json()["tier"] == tier
        limits = {
            "images_per_day": images, "max_running": running, "weight": weight, "queue_cap": queue,
            "requests_per_minute": requests,
        }  # fmt: skip

        async def holds(limits: dict[str, int | None] = limits) -> bool:
            answer = await public.get("/auth/me", headers=key)
            if answer.status_code == 429:  # the polls have used up the requests of the tier before
                return False
            me = answer.json()
            told = answer.headers.get("x-ratelimit-limit")
            return bool(
                limits.items() <= me["limits"].items()
                and told == (limits["requests_per_minute"] and str(limits["requests_per_minute"]))
                and (me["left_today"] is None) == (limits["images_per_day"] is None)
            )

        await until(holds, within_s=WITHIN_S)
        async with fleet.client(key["X-API-Key"]) as client:
            answer = await client.post("/jobs", json={"workflow": HELLO})
            assert answer.status_code == 201, answer.text
            assert answer.headers.get("x-quota-limit") == (images and str(images))
            await fleet.wait_until_ended(client, answer.json()["job_id"])


@pytest.mark.requirement("S-23", "DELETE /api/v1/auth/keys/{key_id}")
@simulated_only
async def test_revoked_key_and_its_websocket_end_at_once(fleet: Fleet, public: httpx.AsyncClient) -> None:
    user = await registered(public, "loser")
    await asyncio.to_thread(partial(fleet.set_limits, user["id"], graph_policy="open"))
    key = await new_key(public, user)
    async with fleet.client(key["key"]) as client:
        job = await fleet.submit(client, workflow=slow(60))
        async with fleet.watch(job["job_id"], key=key["key"]) as socket:
            await socket.recv()
            revoked = await public.delete(f"/auth/keys/{key['id']}", headers=bearer(user))
            assert revoked.status_code == 204
            await until(lambda: refused(client), within_s=WITHIN_S)
            async with asyncio.timeout(WITHIN_S):
                await socket.wait_closed()
            assert socket.close_code == 4401
    await public.delete(f"/jobs/{job['job_id']}", headers=bearer(user))
    again = await public.delete(f"/auth/keys/{key['id']}", headers=bearer(user))
    assert again.status_code == 204


@pytest.mark.requirement("S-46")
async def test_deactivated_user_is_refused_with_every_credential(
    public: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    user = await registered(public, "gone")
    key = {"X-API-Key": (await new_key(public, user))["key"]}
    assert await status(public, key) == 200
    assert (await admin.patch(f"/admin/users/{user['id']}", json={"is_active": False})).json()["is_active"] is False
    for credential in (key, bearer(user)):
        await until(partial(is_refused, public, credential), within_s=WITHIN_S)
    answer = await public.post("/auth/login", json={"username": user["username"], "password": PASSWORD})
    assert answer.status_code == 401
    assert (await public.post("/auth/refresh", json={"refresh_token": user["refresh_token"]})).status_code == 401
    assert (await admin.get(f"/admin/users/{user['id']}")).json()["is_active"] is False


@pytest.mark.requirement("S-46", "POST /api/v1/auth/logout")
async def test_logout_ends_the_access_token(fleet: Fleet, public: httpx.AsyncClient) -> None:
    user = await registered_without_rate_limit(fleet, public, "leaver")
    other = await logged_in(public, user["username"])
    assert (await public.post("/auth/logout", headers=bearer(user))).status_code == 204
    await until(lambda: is_refused(public, bearer(user)), within_s=WITHIN_S)
    assert await status(public, bearer(other)) == 200
    assert (await public.post("/auth/logout", params={"all": "true"}, headers=bearer(other))).status_code == 204
    await until(lambda: is_refused(public, bearer(other)), within_s=WITHIN_S)


@pytest.mark.requirement("S-47", "POST /api/v1/auth/refresh", "table auth.sessions", "table auth.refresh_tokens")
async def test_refresh_token_reuse_ends_the_session(public: httpx.AsyncClient) -> None:
    user = await registered(public, "twice")
    first = user["refresh_token"]
    sessions = [user]
    for _ in range(2):  # then the first one is no longer the direct predecessor
        answer = await public.post("/auth/refresh", json={"refresh_token": sessions[-1]["refresh_token"]})
        assert answer.status_code == 200, answer.text
        sessions.append(answer.json())
    assert (await public.post("/auth/refresh", json={"refresh_token": first})).status_code == 401
    newest = sessions[-1]
    assert (await public.post("/auth/refresh", json={"refresh_token": newest["refresh_token"]})).status_code == 401
    await until(lambda: is_refused(public, bearer(newest)), within_s=WITHIN_S)


async def test_auth_outage_keeps_known_users_and_refuses_new_ones(fleet: Fleet, public: httpx.AsyncClient) -> None:
    user = await registered_without_rate_limit(fleet, public, "steady")
    key, revoked = [(await new_key(public, user))["key"] for _ in range(2)]
    unknown = (await new_key(public, user))["key"]
    credentials = [{"X-API-Key": key}, bearer(user)]
    for credential in (*credentials, {"X-API-Key": revoked}):
        assert await status(public, credential) == 200
    async with fleet.client(key) as client:
        await fleet.wait_until_ended(client, (await fleet.submit(client, workflow=HELLO))["job_id"])
    last_valid = monotonic()
    await public.delete(f"/auth/keys/{revoked.split('_')[1]}", headers=bearer(user))

    async def is_revoked() -> bool:
        nonlocal last_valid
        sent = monotonic()
        found = await status(public, {"X-API-Key": revoked})
        last_valid = sent if found == 200 else last_valid
        return found == 401

    await until(is_revoked, within_s=WITHIN_S)
    async with stopped(fleet, "auth"), client_without_retries(fleet, "") as without_retries:
        refusal = await status_unless_others_are_unavailable(without_retries, {"X-API-Key": revoked})
        can_be_forgotten = monotonic() - last_valid > INVALID_CACHE_S
        assert refusal == 401 or (refusal == 503 and can_be_forgotten)
        for credential in credentials:
            assert await status_unless_others_are_unavailable(without_retries, credential) == 200
            submitted = await public.post("/jobs", json={"workflow": HELLO}, headers=credential)
            assert submitted.status_code == 201, submitted.text
            read = await public.get(f"/jobs/{submitted.json()['job_id']}", headers=credential)
            assert read.status_code == 200
        login = {"username": user["username"], "password": PASSWORD}
        answers = await asyncio.gather(
            without_retries.post("/auth/login", json=login),
            without_retries.post("/auth/refresh", json={"refresh_token": user["refresh_token"]}),
            without_retries.get("/auth/me", headers={"X-API-Key": unknown}),
        )
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    await until(lambda: is_let_in(public, {"X-API-Key": unknown}))


async def status_unless_others_are_unavailable(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
    """Return the status of the first response that is not a 503 because of a service other than auth."""

    def is_final(answer: httpx.Response) -> bool:
        return answer.status_code != 503 or "The service auth " in answer.json()["detail"]

    return (await repeat_until(is_final, lambda: client.get("/auth/me", headers=headers))).status_code


async def refused(client: httpx.AsyncClient) -> bool:
    return (await client.get("/auth/me")).status_code == 401


async def is_refused(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    return await status(client, headers) == 401


async def is_let_in(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    return await status(client, headers) == 200


def slow(seconds: float) -> dict[str, Any]:
    """A workflow that keeps its node busy for a while."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "slow"}},
    }


@asynccontextmanager
async def stopped(fleet: Fleet, name: str) -> AsyncIterator[None]:
    """Suspend a process of the system during the block."""
    with frozen(fleet.pid(name)):
        yield
