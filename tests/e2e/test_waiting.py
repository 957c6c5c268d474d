"""The API returns the reason for which a job waits."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_cli import Person
from tests.kit.fleet import HELLO, Fleet, read_frames
from tests.kit.freezing import frozen, unfreeze
from tests.kit.waiting import until


@pytest.mark.requirement("F-62")
@simulated_only
async def test_job_without_nodes_reports_why_it_waits_and_runs_when_one_joins(
    fleet: Fleet, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    with frozen(fleet.process.pid):  # the nodes are not restarted
        for number in range(1, len(fleet.nodes) + 1):
            fleet.kill(f"node-{number}")
        first = await fleet.submit(client, workflow=HELLO)

        async def is_known() -> bool:
            return reason_of((await client.get(f"/jobs/{first['job_id']}")).json()) == "no_node_online"

        await until(is_known)
        job = await fleet.submit(client, workflow=HELLO)
        assert (job["status"], reason_of(job), job["eta_seconds"]) == ("pending", "no_node_online", None)
        assert job["waiting"]["since"] == job["created_at"]
        assert set(job["waiting"]["detail"]) == {"last_online_at"}
        listed = (await client.get("/jobs", params={"limit": 2})).json()["jobs"]
        assert [reason_of(one) for one in listed] == ["no_node_online"] * 2
        async with fleet.client(fleet.credentials["admin_key"]) as admin:
            assert reason_of((await admin.get(f"/admin/jobs/{job['job_id']}")).json()) == "no_node_online"
        shown = await Person(fleet.base_url, tmp_path).does("job", job["job_id"], COMFYFLEET_KEY=fleet.key)
        assert job["waiting"]["message"] in shown.text
        async with fleet.watch(job["job_id"]) as socket:
            snapshot = json.loads(await socket.recv())
            unfreeze(fleet.process.pid)
            *_, end = await read_frames(socket)
    assert reason_of(snapshot) == "no_node_online"
    assert (end["type"], end["status"]) == ("end", "completed")
    assert (await client.get(f"/jobs/{job['job_id']}")).json()["waiting"] is None


def reason_of(shown: dict[str, Any]) -> str | None:
    return shown["waiting"] and str(shown["waiting"]["reason"])
