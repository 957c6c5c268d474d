"""Nodes and machines fail: jobs continue on other nodes, or resume where they were."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.chaos.conftest import graph
from tests.kit.fleet import HELLO, Fleet, running_fleet
from tests.kit.freezing import freeze, frozen, unfreeze
from tests.kit.waiting import until

AWAY_S = 18.0  # longer than the lease of an attempt

pytestmark = pytest.mark.chaos


@pytest.mark.requirement("F-40")
async def test_job_of_a_dead_node_runs_on_another_node(three_nodes: Fleet) -> None:
    fleet, busy = three_nodes, list[int]()
    async with fleet.client() as client:
        job = await fleet.submit(client, workflow=graph("SimSleep", 7, seconds=8))

        async def is_running() -> bool:
            for number, ledger in enumerate(await fleet.read_ledgers(), 1):
                if any(prompt["started"] and prompt["finished"] is None for prompt in ledger["prompts"]):
                    busy.append(number)
            return bool(busy)

        await until(is_running)
        killed = fleet.kill(f"node-{busy[0]}")
        await fleet.wait_until_replaced(f"node-{busy[0]}", killed)
        ended = await fleet.wait_until_ended(client, job["job_id"])
        assert (ended["status"], ended["attempt"]) == ("completed", 2)


@pytest.mark.requirement("F-169")
async def test_nothing_is_lost_when_the_whole_machine_restarts() -> None:
    state = Path(tempfile.mkdtemp(prefix="comfyfleet-fleet-"))
    async with running_fleet("--nodes", "1", "--step-ms", "50", state=state, keep=True) as fleet:
        async with fleet.client() as client:
            jobs = [
                (await fleet.submit(client, prompt=f"{n}", width=64, height=64, steps=10))["job_id"] for n in range(5)
            ]
        pids = [fleet.pid(name) for name in ("gateway", "scheduler", "nats", "postgres", "node-1")]
        fleet.process.kill()
        await asyncio.to_thread(fleet.process.wait, 10)
        await until(lambda: not any(is_alive(pid) for pid in pids))
        key = fleet.key
    async with running_fleet("--nodes", "1", "--step-ms", "5", state=state) as fleet:
        assert fleet.key == key
        async with fleet.client() as client:
            for job_id in jobs:
                assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"


@pytest.mark.requirement("F-32")
@pytest.mark.parametrize("part", ["nats", "postgres"])
async def test_job_survives_a_dependency_outage_longer_than_a_lease(fragile: Fleet, part: str) -> None:
    fleet, before = fragile, len(await fragile.list_runs())
    async with fleet.client() as client:
        job = await fleet.submit(client, prompt="patience", width=64, height=64, steps=120)

        async def is_running() -> bool:
            return len(await fleet.list_runs()) > before

        await until(is_running)
        with frozen(fleet.process.pid):  # the frozen supervisor does not restart killed processes
            pids = [fleet.pid(part), *(child.pid for child in psutil.Process(fleet.pid(part)).children(recursive=True))]
            killed = fleet.kill(part)
            await until(lambda: not any(map(is_alive, pids)))  # PostgreSQL's backends outlive the postmaster briefly
            answer = await client.post("/jobs", json={"workflow": HELLO})
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            assert (await client.get(f"{fleet.base_url}/healthz")).status_code == 200

            async def is_unready() -> bool:
                return (await client.get(f"{fleet.base_url}/readyz")).status_code == 503

            await until(is_unready)

            async def is_done_on_the_node() -> bool:
                return (await fleet.list_runs())[-1]["finished"] is not None

            away_until = asyncio.get_running_loop().time() + AWAY_S
            await until(is_done_on_the_node, within_s=60)  # the job samples for 5 s
            await until(lambda: asyncio.get_running_loop().time() > away_until, within_s=30)
        await fleet.wait_until_replaced(part, killed)
        ended = await fleet.wait_until_ended(client, job["job_id"])
        assert (ended["status"], ended["attempt"]) == ("completed", 1)
        assert len(await fleet.list_runs()) == before + 1
        after = await fleet.submit(client, workflow=HELLO)
        assert (await fleet.wait_until_ended(client, after["job_id"]))["status"] == "completed"


@pytest.mark.requirement("F-88")
@pytest.mark.parametrize("part", ["nats", "postgres"])
async def test_frozen_dependency_is_reported_and_recovers_by_itself(fragile: Fleet, part: str) -> None:
    fleet, mine = fragile, {"labels": {"frozen": part}}
    async with fleet.client() as client:
        await fleet.wait_until_ended(client, (await fleet.submit(client, workflow=HELLO, **mine))["job_id"])
        pids = freeze_with_children(fleet.pid(part))
        client.timeout = 8.0  # the API must respond, not wait for the dependency
        try:
            for answer in (
                await client.post("/jobs", json={"workflow": HELLO, **mine}),
                await client.get("/jobs"),
                await client.post("/jobs", json={"prompt": "x", **mine}),
            ):
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
        finally:
            for pid in pids:
                unfreeze(pid)

        async def works() -> bool:
            return (await client.post("/jobs", json={"workflow": HELLO, **mine})).status_code == 201

        await until(works, within_s=40)
        for job in (await client.get("/jobs", params={"label": f"frozen:{part}"})).json()["jobs"]:
            assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"


def freeze_with_children(pid: int) -> list[int]:
    """Freeze a process and its children: PostgreSQL's backends do not stop with the postmaster. Returns their pids."""
    freeze(pid)  # first, so that it starts no more children
    pids = [pid]
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        with suppress(ProcessLookupError):  # the process has ended meanwhile
            freeze(child)
            pids.append(child)
    return pids


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
