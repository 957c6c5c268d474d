"""kill -9 of every process at three moments of a running job: the job ends once, and its node ran it once."""

import httpx
import pytest

from tests.kit.fleet import Fleet, read_frames
from tests.kit.waiting import until

PARTS = ("auth", "gateway", "scheduler", "executor-1", "notifier", "nats", "postgres")
MOMENTS = ("accepted", "running", "ending")

pytestmark = pytest.mark.chaos


async def reach(fleet: Fleet, moment: str, before: int) -> None:
    """Wait until the job has reached this moment on the node, which is the only process that is never killed."""

    async def is_running() -> bool:
        return len(await fleet.list_runs()) > before

    async def is_done_on_the_node() -> bool:
        runs = await fleet.list_runs()
        return len(runs) > before and runs[-1]["finished"] is not None

    if moment != "accepted":
        await until(is_running if moment == "running" else is_done_on_the_node)


async def read_status_events(fleet: Fleet, job_id: str) -> list[tuple[int, str]]:
    """Return all events of the job as a late watcher receives them."""
    async with fleet.watch(job_id, after=0) as socket:
        return [(frame["seq"], frame["status"]) for frame in await read_frames(socket) if frame["type"] == "status"]


@pytest.mark.requirement(
    "F-20",
    "F-30",
    "F-65",
    "F-85",
    "F-118",
    "table scheduler.jobs",
    "table scheduler.attempts",
    "table scheduler.graphs",
    "table scheduler.job_events",
    "table scheduler.outbox",
    "job.ends-once",
)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("part", PARTS)
async def test_job_ends_once_when_any_service_is_killed(fragile: Fleet, part: str, moment: str) -> None:
    before = len(await fragile.list_runs())
    async with fragile.client() as client:
        job = await fragile.submit(client, prompt="a storm", width=64, height=64, steps=30)
        await reach(fragile, moment, before)
        killed = fragile.kill(part)
        await fragile.wait_until_replaced(part, killed)
        ended = await fragile.wait_until_ended(client, job["job_id"])
        assert ended["status"] == "completed", ended
        assert ended["attempt"] == 1
        picture = await fetched(client, job["job_id"])
        assert picture.startswith(b"\x89PNG")
    runs = (await fragile.list_runs())[before:]
    assert [run["outcome"] for run in runs] == ["success"]
    statuses = await patient_log(fragile, job["job_id"])
    assert [seq for seq, _ in statuses] == list(range(1, len(statuses) + 1))
    assert [status for _, status in statuses].count("completed") == 1
    assert statuses[-1][1] == "completed"


async def fetched(client: httpx.AsyncClient, job_id: str) -> bytes:
    content = b""

    async def is_there() -> bool:
        nonlocal content
        answer = await client.get(f"/jobs/{job_id}/result")
        content = answer.content
        return answer.status_code == 200

    await until(is_there)
    return content


async def patient_log(fleet: Fleet, job_id: str) -> list[tuple[int, str]]:
    """Return all events of the job; retry refused handshakes until the notifier and its dependencies are back."""
    found: list[tuple[int, str]] = []

    async def is_told() -> bool:
        nonlocal found
        try:
            found = await read_status_events(fleet, job_id)
        except Exception:  # noqa: BLE001 - whatever a socket says while its server comes back
            return False
        return bool(found) and found[-1][1] == "completed"

    await until(is_told, within_s=40)
    return found
