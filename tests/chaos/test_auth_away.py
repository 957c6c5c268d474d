"""Auth does nothing for a while (60 s with AUTH_AWAY_S=60): whoever was let in goes on, nobody new gets in."""

import os
from time import monotonic

import pytest

from tests.e2e.test_identity import bearer, new_key, registered, status, stopped
from tests.kit.fleet import HELLO, Fleet

AWAY_S = float(os.environ.get("AUTH_AWAY_S", "6"))

pytestmark = pytest.mark.chaos


async def test_holders_of_tokens_and_keys_go_on_for_as_long_as_auth_is_away(fragile: Fleet) -> None:
    async with fragile.client("") as public, fragile.client(fragile.credentials["admin_key"]) as admin:
        user = await registered(public, "patient")
        key = {"X-API-Key": (await new_key(public, user))["key"]}
        unknown = {"X-API-Key": (await new_key(public, user))["key"]}
        limits = {"images_per_day": None, "requests_per_minute": 100_000}
        await admin.patch(f"/admin/users/{user['id']}", json={"limits": limits})
        for credential in (key, bearer(user)):
            assert await status(public, credential) == 200
        job = await public.post("/jobs", json={"workflow": HELLO}, headers=key)
        ended = {job.json()["job_id"]}
        async with stopped(fragile, "auth"):
            until_then = monotonic() + AWAY_S
            while monotonic() < until_then:
                for credential in (key, bearer(user)):
                    assert await status(public, credential) == 200
                submitted = await public.post("/jobs", json={"workflow": HELLO}, headers=key)
                assert submitted.status_code == 201, submitted.text
                ended.add(submitted.json()["job_id"])
                assert (await public.get("/jobs", headers=key)).status_code == 200
                assert await status(public, unknown) == 503
                login = await public.post("/auth/login", json={"username": user["username"], "password": "x" * 20})
                assert login.status_code == 503
        async with fragile.client(key["X-API-Key"]) as client:
            for job_id in ended:
                assert (await fragile.ended(client, job_id))["status"] == "completed"
