"""The API estimates when jobs end, from earlier runs of the same workflow."""

from typing import Any

import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_limits import slow
from tests.kit.fleet import Fleet
from tests.kit.waiting import until

RUN_S = 2.0


@pytest.mark.requirement("eta.history")
@simulated_only
async def test_estimate_approximates_the_run_time_and_admins_see_its_accuracy(fleet: Fleet) -> None:
    workflow = slow(RUN_S)
    async with (
        fleet.client(fleet.create_user("estimated", "pro", graph_policy="open")) as client,
        fleet.client(fleet.credentials["admin_key"]) as admin,
    ):
        first = await fleet.submit(client, workflow=workflow)
        assert (await fleet.wait_until_ended(client, first["job_id"]))["status"] == "completed"
        (attempt,) = (await admin.get(f"/admin/jobs/{first['job_id']}")).json()["attempts"]
        run_s = attempt["gpu_seconds"]
        assert run_s >= 0.9 * RUN_S
        job: dict[str, Any] = {}

        async def is_estimated() -> bool:  # what nodes do, and earlier runs, are cached for some seconds
            nonlocal job
            workflow["1"]["inputs"]["color"] += 1  # a node has run only the first one, so its cache has no result
            job = await fleet.submit(client, workflow=workflow)
            if job["eta_seconds"] == pytest.approx(run_s, rel=0.25):
                return True
            await client.delete(f"/jobs/{job['job_id']}")
            return False

        await until(is_estimated)
        assert job["eta_p90_seconds"] > job["eta_seconds"]
        assert (await fleet.wait_until_ended(client, job["job_id"]))["eta_seconds"] is None

        async def is_compared() -> bool:
            eta = (await admin.get("/admin/stats")).json()["eta"]
            return eta["end"] is not None and eta["end"]["jobs"] >= 1 and 0 <= eta["start"]["within_p90"] <= 1

        await until(is_compared)
