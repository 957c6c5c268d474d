"""What the operators' pages of a console read: nodes with their jobs and faults."""

import secrets
from typing import Any

import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_identity import slow
from tests.kit.fleet import Fleet
from tests.kit.waiting import until

pytestmark = simulated_only


@pytest.mark.requirement("operator.fleet", "GET /api/v1/admin/nodes")
async def test_admin_sees_what_each_node_runs_and_its_hardware(fleet: Fleet) -> None:
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
        assert (await client.get("/admin/nodes")).status_code == 403
        await client.delete(f"/jobs/{job_id}")
        assert (await fleet.ended(client, job_id))["status"] == "cancelled"
