"""After a total loss, ./dev restore restores what ./dev backup saved from the running system, and jobs continue."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.fleet import HELLO, ROOT, Fleet, read_frames, running_fleet
from tests.kit.waiting import until

PASSWORD = "a long enough password"
SLOW: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}},
    "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": 3}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "slow"}},
}

pytestmark = pytest.mark.chaos


async def command(name: str, folder: Path, state: Path) -> None:
    """Run ``./dev backup`` or ``./dev restore``."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "stack", name, str(folder), "--state", str(state)],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


async def log_in(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.post("/auth/login", json={"username": "ada", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def digests(client: httpx.AsyncClient, job: dict[str, Any]) -> list[str]:
    """Return the SHA-256 of every output of a job."""
    listed = (await client.get(f"/jobs/{job['job_id']}/outputs")).json()["outputs"]
    found = []
    for output in listed:
        answer = await client.get(output["url"])
        assert answer.status_code == 200, answer.text
        found.append(hashlib.sha256(answer.content).hexdigest())
    return found


async def read(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = json.loads(re.sub(r"127\.0\.0\.1:\d+", "host", answer.text))  # the port changes
    return job


def delete_state(state: Path) -> None:
    """Delete databases, streams, files, and the disks of the GPU machines. Passwords and configuration are kept."""
    for name in ("postgres", "nats/jetstream", "artifacts", "executor-1", "node-1"):
        shutil.rmtree(state / name)


async def is_running(client: httpx.AsyncClient, job_id: str) -> bool:
    return bool((await read(client, job_id))["status"] == "processing")


@pytest.mark.requirement("backup.restore")
async def test_system_continues_from_its_backup_after_a_total_loss(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "backup"
    state.mkdir()
    async with running_fleet("--nodes", "1", state=state, keep=True) as fleet, fleet.client() as client:
        body = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        assert (await client.post("/auth/register", json=body)).status_code == 201
        accepted = [await fleet.submit(client, workflow=HELLO) for _ in range(3)]
        for job in accepted:
            assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
        done = [await read(client, job["job_id"]) for job in accepted]
        bytes_before = [await digests(client, job) for job in done]
        assert all(bytes_before)
        slow = (await fleet.submit(client, workflow=SLOW))["job_id"]
        await until(lambda: is_running(client, slow))
        waiting = [(await fleet.submit(client, workflow=HELLO))["job_id"] for _ in range(2)]
        await command("backup", folder, state)
        for job_id in (slow, *waiting):
            assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
        later = (await fleet.submit(client, workflow=HELLO))["job_id"]
        assert (await fleet.wait_until_ended(client, later))["status"] == "completed"
        purged = await client.delete(f"/jobs/{done[2]['job_id']}", params={"purge": True})
        assert purged.status_code == 204, purged.text
    await asyncio.to_thread(delete_state, state)
    await command("restore", folder, state)
    async with running_fleet("--nodes", "1", state=state, keep=True) as fleet, fleet.client() as client:
        assert [await read(client, job["job_id"]) for job in done] == done
        assert [await digests(client, job) for job in done] == bytes_before
        async with fleet.watch(slow, after=0) as socket:
            seen = [frame["seq"] for frame in await read_frames(socket) if frame["type"] == "status"]
        assert seen == list(range(1, len(seen) + 1))
        for job_id in (slow, *waiting):
            job = await fleet.wait_until_ended(client, job_id)
            assert job["status"] == "completed"
            assert await digests(client, job)
        assert (await client.get(f"/jobs/{later}")).status_code == 404
        again = await fleet.wait_until_ended(client, (await fleet.submit(client, workflow=HELLO))["job_id"])
        assert again["status"] == "completed"
        async with fleet.client(key="") as visitor:
            answer = await visitor.post("/jobs", json={"workflow": HELLO}, headers=await log_in(visitor))
            assert answer.status_code == 201, answer.text
        verified = await asyncio.to_thread(verify_audit, fleet)
        assert verified.returncode == 0, verified.stderr


def verify_audit(fleet: Fleet) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m auth audit verify``."""
    lines = (fleet.state / "env/auth.env").read_text().splitlines()
    environment = {"PATH": os.environ["PATH"], **dict(line.split("=", 1) for line in lines)}
    return subprocess.run(
        [sys.executable, "-m", "auth", "audit", "verify"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
