"""kill -9 between the commit of a purge and its effects: the bytes go all the same."""

import httpx
import pytest

from tests.kit.fleet import Fleet
from tests.kit.waiting import until

pytestmark = pytest.mark.chaos


async def test_bytes_of_purged_jobs_go_though_gateway_and_scheduler_die_at_once(fragile: Fleet) -> None:
    artifacts = fragile.state / "artifacts"
    async with fragile.client() as client:
        jobs = [await fragile.submit(client, prompt="a canary", width=64, height=64, steps=1) for _ in range(3)]
        for job in jobs:
            assert (await fragile.ended(client, job["job_id"]))["status"] == "completed"
        folders = [path for job in jobs for path in artifacts.glob(f"*/{job['job_id']}")]
        assert len(folders) == 3
        for job in jobs:
            assert (await client.delete(f"/jobs/{job['job_id']}", params={"purge": True})).status_code == 204
        killed = {part: fragile.kill(part) for part in ("scheduler", "gateway")}
    left = [path for path in folders if path.exists()]
    assert left, "the kill came between commit and effect"
    for part, pid in killed.items():
        await fragile.replaced(part, pid)
    await until(lambda: not any(path.exists() for path in folders), within_s=60)
    async with fragile.client() as client:
        for job in jobs:

            async def is_unknown(job_id: str = job["job_id"]) -> bool:
                try:
                    return (await client.get(f"/jobs/{job_id}")).status_code == 404
                except httpx.HTTPError:
                    return False

            await until(is_unknown, within_s=30)
