"""Auth is stopped for a while (60 s with AUTH_AWAY_S=60): known credentials keep working, unknown ones are refused."""

import asyncio
import os
from time import monotonic
from typing import Any

import pytest

from tests.e2e.test_identity import bearer, new_key, registered, status, stopped
from tests.kit.fleet import HELLO, Fleet

AWAY_S = float(os.environ.get("AUTH_AWAY_S", "6"))

pytestmark = pytest.mark.chaos


@pytest.mark.requirement("F-150")
async def test_known_tokens_and_keys_work_during_an_auth_outage(fragile: Fleet) -> None:
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
                assert (await fragile.wait_until_ended(client, job_id))["status"] == "completed"


@pytest.mark.requirement("S-83")
async def test_admin_action_is_refused_when_it_cannot_be_audited(fragile: Fleet) -> None:
    async with fragile.client() as client, fragile.client(fragile.credentials["admin_key"]) as admin:

        async def node() -> dict[str, Any]:
            (stands,) = (await admin.get("/admin/nodes")).json()["nodes"]
            return {name: stands[name] for name in ("node", "cordoned_at", "drain_at")}

        of_node = f"/admin/nodes/{(await node())['node']}"
        assert (await admin.post(f"{of_node}/cordon")).status_code == 200
        stood = await node()
        job_id = (await fragile.submit(client, workflow=HELLO))["job_id"]
        of_job = f"/admin/jobs/{job_id}"
        orders = [
            *(("POST", f"{of_job}/{order}", None) for order in ("hold", "release", "requeue", "cancel")),
            ("PATCH", of_job, {"priority": 7}),
            *(("POST", f"{of_node}/{order}", None) for order in ("cordon", "uncordon", "drain")),
            ("DELETE", of_node, None),
        ]
        try:
            async with stopped(fragile, "auth"):
                answers = await asyncio.gather(*(admin.request(how, what, json=body) for how, what, body in orders))
                told = [(answer.status_code, "retry-after" in answer.headers) for answer in answers]
                assert told == [(503, True)] * len(orders)
                assert await node() == stood
                job = (await client.get(f"/jobs/{job_id}")).json()
                assert (job["status"], job["held"]) == ("pending", False)
            assert (await admin.get(of_job)).json()["priority"] == 0
        finally:
            assert (await admin.post(f"{of_node}/uncordon")).status_code == 200
        assert (await fragile.wait_until_ended(client, job_id))["status"] == "completed"
