"""What the operators' pages of a console read: nodes with their jobs and faults, and the queue."""

import secrets
from typing import Any

import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_identity import slow
from tests.kit.fleet import Fleet
from tests.kit.waiting import until

pytestmark = simulated_only


@pytest.mark.requirement("operator.fleet", "operator.queue", "GET /api/v1/admin/nodes", "GET /api/v1/admin/queue")
async def test_admin_sees_what_nodes_run_and_who_waits(fleet: Fleet) -> None:
    name = f"pages-{secrets.token_hex(4)}"
    key = fleet.new_user(name, "enterprise", graph_policy="open")
    async with fleet.client(key) as client, fleet.client(fleet.credentials["admin_key"]) as admin:
        job_id = (await fleet.submit(client, workflow=slow(60)))["job_id"]
        found: dict[str, Any] = {}

        async def is_shown() -> bool:
            nodes = (await admin.get("/admin/nodes")).json()["nodes"]
            found.update(next((node for node in nodes if (node["running"] or {}).get("job_id") == job_id), {}))
            return bool(found and found["running"]["graph_node"] == "2" and found["gpus"])

        await until(is_shown, within_s=60)
        running = found["running"]
        assert (found["state"], found["job_id"], found["state_since"]) == ("busy", job_id, running["started_at"])
        assert (running["username"], running["graph_node_class"]) == (name, "SimSleep")
        assert 0 <= running["progress"] < 100
        assert found["gpus"][0]["memory_total_bytes"] > found["gpus"][0]["memory_free_bytes"] > 0
        assert found["comfyui_version"]
        assert found["executor_version"]
        for path in ("/admin/nodes", "/admin/queue"):
            assert (await client.get(path)).status_code == 403
        user_id = (await client.get("/auth/me")).json()["id"]
        waiting = [(await fleet.submit(client, workflow=slow(60)))["job_id"] for _ in range(4)]

        async def is_queued() -> bool:
            queue = (await admin.get("/admin/queue", params={"tenant": user_id})).json()
            found.clear()
            found.update(*queue["tenants"])
            return bool(found and found["queued"] + found["running"] == 5 and found["waiting"])

        await until(is_queued, within_s=30)
        assert (found["username"], found["tier"], found["max_running"]) == (name, "enterprise", None)
        assert (found["first_job_id"] in waiting, found["waiting"]["reason"]) == (True, "queue")
        for one in (job_id, *waiting):
            await client.delete(f"/jobs/{one}")
        assert (await fleet.ended(client, job_id))["status"] == "cancelled"
