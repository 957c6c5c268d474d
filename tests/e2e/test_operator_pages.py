"""The routes behind the console's pages for operators: nodes, the queue, trends, and previews of actions."""

import secrets
from typing import Any

import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_identity import slow
from tests.kit.fleet import Fleet
from tests.kit.waiting import until

pytestmark = simulated_only


@pytest.mark.requirement(
    "operator.dry-run",
    "operator.fleet",
    "operator.queue",
    "operator.trends",
    "GET /api/v1/admin/nodes",
    "GET /api/v1/admin/queue",
    "GET /api/v1/admin/trends",
)
async def test_admin_sees_what_nodes_run_and_who_waits(fleet: Fleet) -> None:
    name = f"pages-{secrets.token_hex(4)}"
    key = fleet.create_user(name, "enterprise", graph_policy="open")
    async with fleet.client(key) as client, fleet.client(fleet.credentials["admin_key"]) as admin:
        job_id = (await fleet.submit(client, workflow=slow(60)))["job_id"]
        found: dict[str, Any] = {}

        async def is_shown() -> bool:
            nodes = (await admin.get("/admin/nodes")).json()["nodes"]
            found.update(next((node for node in nodes if (node["running"] or {}).get("job_id") == job_id), {}))
            return bool(found and found["running"]["graph_node"] == "2" and found["gpus"])

        await until(is_shown, within_s=60)
        running = found["running"] | {"node": found["node"]}
        assert (found["state"], found["job_id"], found["state_since"]) == ("busy", job_id, running["started_at"])
        assert (running["username"], running["graph_node_class"]) == (name, "SimSleep")
        assert 0 <= running["progress"] < 100
        assert found["gpus"][0]["memory_total_bytes"] > found["gpus"][0]["memory_free_bytes"] > 0
        assert found["comfyui_version"]
        assert found["executor_version"]
        for path in ("/admin/nodes", "/admin/queue", "/admin/trends"):
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
        dry = {"dry_run": "true"}
        drain = (await admin.post(f"/admin/nodes/{running['node']}/drain", params=dry)).json()
        assert drain["dry_run"] is True
        assert "job_requeued" in {effect["code"] for effect in drain["effects"]}
        assert (await admin.delete(f"/admin/nodes/{running['node']}", params=dry)).json()["code"] == "node.alive"
        cancel = (await admin.post(f"/admin/jobs/{job_id}/cancel", params=dry)).json()
        assert [effect["code"] for effect in cancel["effects"]] == ["job_stopped"]
        # nodes may have claimed the first jobs by now
        requeue = (await admin.post(f"/admin/jobs/{waiting[-1]}/requeue", params=dry)).json()
        assert [effect["code"] for effect in requeue["effects"]] == ["no_effect"]
        assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "processing"
        trends = (await admin.get("/admin/trends", params={"hours": 1, "step": 60})).json()
        assert trends["totals"]["submitted"] >= 5
        assert sum(bucket["submitted"] for bucket in trends["buckets"]) == trends["totals"]["submitted"]
        assert trends["step_seconds"] == 60
        assert running["node"] in {node["node"] for node in trends["nodes"]}
        for one in (job_id, *waiting):
            await client.delete(f"/jobs/{one}")
        assert (await fleet.wait_until_ended(client, job_id))["status"] == "cancelled"
