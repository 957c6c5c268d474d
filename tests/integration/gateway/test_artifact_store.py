"""The artifact store: whether it belongs to the database, objects without a record, and a full disk."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from contracts.auth.accounts import Role
from executor.clients.artifacts import ArtifactClient, UploadRefused
from gateway.artifact_store.orphans import OrphanSweeper, SweepRules
from gateway.artifact_store.service import StoreMonitor
from gateway.artifact_store.store import ArtifactStoreRecord
from gateway.settings import Settings
from gateway.storage.objects import MARKER_KEY, ArtifactStore
from gateway.storage.status import StoreStatus
from tests.integration.gateway.conftest import ALICE, Gateway, stored_files, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.test_outputs import PNG, finished, grants, here
from tests.integration.gateway.test_uploads import post, some_png
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until

STORE = "/api/v1/admin/artifact-store"
OFTEN = {"orphans_sweep_s": 0.2, "orphan_age_s": 3600, "store_check_s": 0.1}
HOURS_AGO = 2
GRAPH = {"1": {"class_type": "SaveImage", "inputs": {}}}
MIB = 1 << 20


def settings(nats: NatsServer, database_url: str, folder: Path, **more: object) -> Settings:
    return Settings.model_validate(
        {
            "nats_url": nats.url,
            "database_url": database_url,
            "secret_key": "a secret key of the tests, long enough",
            "artifacts_url": folder.as_uri(),
            "open_per_minute": 1_000_000,
        }
        | OFTEN
        | more
    )


@asynccontextmanager
async def gateway_at(nats: NatsServer, database_url: str, folder: Path, **more: object) -> AsyncIterator[Gateway]:
    app = create_app_with_long_timeouts(settings(nats, database_url, folder, **more))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        yield Gateway(http, f"http://{at}", folder, nats.url)


def adopt(database_url: str, folder: Path) -> str:
    """Run ``gateway adopt-store``, as an operator does after a deliberate restore. Return its output."""
    environment = {
        "GATEWAY_DATABASE_URL": database_url, "GATEWAY_ARTIFACTS_URL": folder.as_uri(),
        "GATEWAY_SECRET_KEY": "a secret key of the tests, long enough", "GATEWAY_NATS_URL": "nats://127.0.0.1:1",
    }  # fmt: skip
    command = [sys.executable, "-m", "gateway", "adopt-store"]
    return subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout


def add_orphans(folder: Path, count: int) -> list[Path]:
    """Create outputs without a record, hours old. They appear at once, so that no sweep finds only some of them."""
    tenant, staging = str(uuid4()), folder.parent / f"staging-{uuid4()}"
    names = [Path(str(uuid4()), "1", str(uuid4())) for _ in range(count)]
    for name in names:
        path = staging / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"output")
        long_ago = path.stat().st_mtime - HOURS_AGO * 3600
        os.utime(path, (long_ago, long_ago))
    staging.rename(folder / tenant)
    return [folder / tenant / name for name in names]


async def readiness(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    answer = await gateway.http.get("/readyz")
    return answer.status_code, answer.json()


async def until_reason(gateway: Gateway, text: str) -> None:
    async def says() -> bool:
        status, body = await readiness(gateway)
        return status == 503 and text in body["reasons"].get("artifact_store", "")

    await until(says)


async def until_report(gateway: Gateway, orphans: int) -> dict[str, Any]:
    """Wait until two sweeps have reported this number of orphans. Return the second report."""
    seen: list[dict[str, Any]] = []

    async def reported() -> bool:
        report = (await gateway.http.get(STORE, headers=ALICE)).json()["orphans"]
        if report and report["count"] == orphans and report not in seen:
            seen.append(report)
        return len(seen) > 1

    await until(reported)
    return seen[-1]


async def submit(gateway: Gateway, **headers: str) -> httpx.Response:
    return await gateway.http.post("/api/v1/jobs", headers=ALICE | headers, json={"workflow": GRAPH})


def make_admin(script: Script) -> None:
    script.auth.users[script.alice] = replace(script.auth.user(script.alice), role=Role.ADMIN)


@pytest.mark.requirement("F-146", "table gateway.artifact_store")
async def test_gateway_with_the_artifact_store_of_another_database_is_not_ready_and_deletes_nothing(
    nats_server: NatsServer, postgres_server: PostgresServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    folder, empty = tmp_path / "store", tmp_path / "empty"
    async with gateway_at(nats_server, own_database, folder) as gateway:
        await until_ready(gateway.http)
        await finished(gateway, script, PNG)
    (output,) = stored_files(folder)
    long_ago = output.stat().st_mtime - HOURS_AGO * 3600
    os.utime(output, (long_ago, long_ago))
    marker = (folder / MARKER_KEY).read_bytes()

    nothing_recorded = await postgres_server.create_database("gateway")
    async with gateway_at(nats_server, nothing_recorded, folder, delete_orphans=True) as gateway:
        await until_reason(gateway, "the database has no records")
        refused = await submit(gateway)
        assert (refused.status_code, refused.json()["code"]) == (503, "storage.mismatch")
        assert script.scheduler.submits == []
        (folder / MARKER_KEY).write_bytes(b"{}")
        await until_reason(gateway, "cannot be read")
        (folder / MARKER_KEY).unlink()
        await until_reason(gateway, "the database has no records")
    async with gateway_at(nats_server, own_database, empty, delete_orphans=True) as gateway:
        await until_reason(gateway, "Perhaps a volume is not mounted")
        (empty / MARKER_KEY).parent.mkdir()
        (empty / MARKER_KEY).write_bytes(json.dumps(json.loads(marker) | {"store_id": str(uuid4())}).encode())
        await until_reason(gateway, "store ids differ")
    assert stored_files(folder) == [output]
    assert stored_files(empty) == []


@pytest.mark.requirement("F-146")
async def test_restored_database_is_detected_and_paired_with_its_artifact_store_by_command(
    nats_server: NatsServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    sql = await asyncpg.connect(own_database.replace("+asyncpg", ""))
    async with gateway_at(nats_server, own_database, tmp_path, delete_orphans=True) as gateway:
        await until_ready(gateway.http)
        await finished(gateway, script, PNG)
        (output,) = stored_files(tmp_path)
        (late,) = add_orphans(tmp_path, 1)

        async def is_older() -> bool:
            # Simulate a database restored from an hour-old backup, without the rows of later files. Repeat it, because
            # a check that is already running may confirm again that the store and the database agree.
            await sql.execute("UPDATE artifact_store SET confirmed_at = now() - interval '1 hour'")
            status, body = await readiness(gateway)
            reason = body.get("reasons", {}).get("artifact_store", "")
            return status == 503 and "The database is older than the artifact store" in reason

        await until(is_older)
        said = await asyncio.to_thread(adopt, own_database, tmp_path)
        assert "database_older" in said
        await until_ready(gateway.http)
        await until(lambda: not late.exists())
        assert stored_files(tmp_path) == [output]
        assert "Nothing was changed" in await asyncio.to_thread(adopt, own_database, tmp_path)
        assert (await submit(gateway)).status_code == 201
    await sql.close()


async def test_artifact_store_and_database_without_ids_are_paired_at_start(
    nats_server: NatsServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    sql = await asyncpg.connect(own_database.replace("+asyncpg", ""))
    async with gateway_at(nats_server, own_database, tmp_path) as gateway:
        await until_ready(gateway.http)
        await finished(gateway, script, PNG)
        await sql.execute("DELETE FROM artifact_store")
        (tmp_path / MARKER_KEY).unlink()

        async def is_paired() -> bool:
            return await sql.fetchval("SELECT store_id FROM artifact_store") is not None

        await until(is_paired)
        await until_ready(gateway.http)
        store_id = await sql.fetchval("SELECT store_id FROM artifact_store")
        assert json.loads((tmp_path / MARKER_KEY).read_bytes())["store_id"] == str(store_id)
    await sql.close()


@pytest.mark.requirement("F-140", "F-147", "GET /api/v1/admin/artifact-store")
async def test_orphans_are_only_reported_by_default(
    nats_server: NatsServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    make_admin(script)
    orphans = add_orphans(tmp_path, 3)
    async with gateway_at(nats_server, own_database, tmp_path) as gateway:
        await until_reason(gateway, "the database has no records")
        await asyncio.to_thread(adopt, own_database, tmp_path)
        await until_ready(gateway.http)
        report = await until_report(gateway, 3)
        assert (report["objects"], report["bytes"], report["limit"]) == (3, 18, 100)
        assert set(report["sample"]) == {path.relative_to(tmp_path).as_posix() for path in orphans}
        body = (await gateway.http.get(STORE, headers=ALICE)).json()
        assert (body["pairing"], body["deletes_orphans"]) == ("paired", False)
        order = await gateway.http.post(f"{STORE}/delete-orphans", headers=ALICE, json={"count": 3})
        assert (order.status_code, order.json()["code"]) == (409, "orphans.kept")
    assert all(path.exists() for path in orphans)


@pytest.mark.requirement("F-147", "POST /api/v1/admin/artifact-store/delete-orphans")
async def test_sweep_deletes_many_orphans_only_after_confirmation(
    nats_server: NatsServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    make_admin(script)
    async with gateway_at(nats_server, own_database, tmp_path, delete_orphans=True) as gateway:
        await until_ready(gateway.http)
        await finished(gateway, script, PNG)
        (kept,) = stored_files(tmp_path)
        long_ago = kept.stat().st_mtime - HOURS_AGO * 3600
        os.utime(kept, (long_ago, long_ago))
        orphans = add_orphans(tmp_path, 101)
        await until_report(gateway, 101)
        assert all(path.exists() for path in orphans), "nothing is deleted above the limit of 100"
        order = f"{STORE}/delete-orphans"
        wrong = await gateway.http.post(order, headers=ALICE, json={"count": 100})
        assert (wrong.status_code, wrong.json()["code"]) == (409, "orphans.count_differs")
        confirmed = await gateway.http.post(order, headers=ALICE, json={"count": 101})
        assert confirmed.status_code == 200
        assert [(one.action, one.detail) for one in script.auth.actions] == [("orphans.delete", {"count": 101})]
        await until(lambda: not any(path.exists() for path in orphans))
        assert stored_files(tmp_path) == [kept]
        few = add_orphans(tmp_path, 100)
        await until(lambda: not any(path.exists() for path in few))
        assert stored_files(tmp_path) == [kept]


async def test_first_sweep_for_orphans_waits_for_a_full_interval(own_database: str, tmp_path: Path) -> None:
    now = 1000.0
    database = database_with_long_timeout(own_database, pool_size=1)
    record, objects = ArtifactStoreRecord(database), ArtifactStore(tmp_path.as_uri(), StoreStatus(min_free_bytes=0))
    monitor = StoreMonitor(record, objects)
    hour = timedelta(hours=1)
    rules = SweepRules(interval=hour, min_age=hour, delete_orphans=True)
    sweeper = OrphanSweeper(record, objects, monitor, rules, clock=lambda: now)
    await monitor.check_space_and_pairing()
    (orphan,) = add_orphans(tmp_path, 1)
    async with database.transaction() as connection:
        await connection.execute("UPDATE artifact_store SET swept_at = now() - interval '1 day'")
    now += 3599
    await sweeper.sweep_if_due()
    assert orphan.exists()
    now += 1
    await sweeper.sweep_if_due()
    assert not orphan.exists()
    assert objects.status.orphans_deleted == 1
    (another,) = add_orphans(tmp_path, 1)
    await sweeper.sweep_if_due()
    assert another.exists(), "a sweep has just run, so the next one is not due"
    await database.close()


async def test_scheduler_that_knows_no_job_makes_the_gateway_delete_nothing(
    nats_server: NatsServer, own_database: str, script: Script, tmp_path: Path
) -> None:
    sql = await asyncpg.connect(own_database.replace("+asyncpg", ""))
    async with gateway_at(nats_server, own_database, tmp_path, remains_every_s=0.1) as gateway:
        await until_ready(gateway.http)
        jobs = [(await finished(gateway, script, b"output"))[0] for _ in range(21)]
        await sql.execute("UPDATE artifacts SET created_at = now() - interval '2 hours'")
        script.scheduler.jobs.clear()
        asked = script.scheduler.finds
        await until(lambda: script.scheduler.finds > asked + 1)
        assert len(stored_files(tmp_path)) == len(jobs)
        assert await sql.fetchval("SELECT count(*) FROM artifacts") == len(jobs)
    await sql.close()


async def zeros(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield bytes(MIB)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.requirement("F-141")
async def test_full_disk_refuses_new_work_until_there_is_space(
    nats_server: NatsServer, own_database: str, script: Script, small_disk: Path
) -> None:
    make_admin(script)
    key = {"Idempotency-Key": str(uuid4())}
    async with gateway_at(nats_server, own_database, small_disk, min_free_bytes=8 * MIB) as gateway:
        await until_ready(gateway.http)
        assert (await submit(gateway, **key)).status_code == 201
        job_id = UUID((await submit(gateway, **key)).json()["job_id"])
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(18 * MIB))

        async def is_degraded() -> bool:
            status, body = await readiness(gateway)
            return (status, body["status"], body["checks"]["artifact_space"]) == (200, "degraded", False)

        await until(is_degraded)
        assert "GATEWAY_MIN_FREE_BYTES" in (await readiness(gateway))[1]["reasons"]["artifact_space"]
        submits = len(script.scheduler.submits)
        for refused in (await submit(gateway), await post(gateway, some_png())):
            assert (refused.status_code, refused.json()["code"]) == (503, "storage.full")
            assert int(refused.headers["retry-after"]) == 30
        assert len(script.scheduler.submits) == submits
        assert (await submit(gateway, **key)).status_code == 201, "a repeated request still finds its accepted job"
        body = (await gateway.http.get(STORE, headers=ALICE)).json()
        assert body["free_bytes"] <= 6 * MIB
        assert body["shortage"]

        first, second = await grants(script, job_id, count=2)
        small = await gateway.http.put(here(gateway, first), content=b"output")
        assert small.status_code == 200, "outputs of accepted jobs may use half of the reserve"
        artifacts = ArtifactClient(small_disk.parent)
        with pytest.raises(UploadRefused) as large:  # larger than what a gateway reads after its response
            await artifacts.upload(
                here(gateway, second), zeros(64), size=64 * MIB, content_type="x/y", max_bytes=64 * MIB, within_s=20
            )
        assert (large.value.status, large.value.code) == (503, "storage.full")

        ballast.unlink()

        async def is_accepted() -> bool:
            return (await submit(gateway)).status_code == 201

        await until(is_accepted)
        assert (await post(gateway, some_png())).status_code == 201
        stored = await artifacts.upload(
            here(gateway, second), zeros(9), size=9 * MIB, content_type="x/y", max_bytes=64 * MIB, within_s=20
        )
        assert stored.size_bytes == 9 * MIB
        await artifacts.close()
        assert (await readiness(gateway))[1]["status"] == "ready"


@pytest.mark.requirement("F-141")
async def test_write_that_fills_the_disk_is_refused_and_leaves_nothing(
    nats_server: NatsServer, own_database: str, script: Script, small_disk: Path
) -> None:
    """An executor streams an output of unknown size that exceeds the free space."""
    job = script.scheduler.add(script.alice, uuid4())
    async with gateway_at(nats_server, own_database, small_disk, min_free_bytes=2 * MIB) as gateway:
        await until_ready(gateway.http)
        (grant,) = await grants(script, job.job_id)
        refused = await gateway.http.put(here(gateway, grant), content=zeros(30))
        assert (refused.status_code, refused.json()["code"]) == (503, "storage.full")
        assert stored_files(small_disk) == []

        async def is_accepted() -> bool:
            return (await submit(gateway)).status_code == 201

        await until(is_accepted)  # once a test write of the gateway has succeeded
