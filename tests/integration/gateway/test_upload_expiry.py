"""Uploads are deleted on request and on expiry, but not while a job uses them; no bytes remain."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from chassis.database.postgres import Database
from contracts.scheduler.jobs import JobState
from gateway.uploads.errors import UnknownUpload
from gateway.uploads.store import UploadLimits, UploadStore
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.test_uploads import post, some_png
from tests.kit.nats import NatsServer
from tests.kit.postgres import database_with_long_timeout
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = database_with_long_timeout(database_url, pool_size=2)
    yield database
    await database.close()


@pytest.fixture
def uploads(database: Database) -> UploadStore:
    return UploadStore(database, UploadLimits(files=100, bytes=1 << 30))


@pytest.fixture
async def sweeping(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> AsyncIterator[Gateway]:
    """A gateway that continuously sweeps expired uploads and orphaned objects."""
    assert script.alice
    more = {"uploads_sweep_s": 0.05, "orphans_sweep_s": 0.05, "orphan_age_s": 3600, "delete_orphans": True}
    app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path, **more))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", tmp_path, nats_server.url)


async def upload(gateway: Gateway) -> str:
    answer = await post(gateway, some_png())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def expire(database: Database, upload_id: str) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE uploads SET expires_at = now() WHERE id = $1", upload_id)


async def status(gateway: Gateway, upload_id: str) -> int:
    return (await gateway.http.get(f"/api/v1/uploads/{upload_id}", headers=ALICE)).status_code


def bytes_of(gateway: Gateway, upload_id: str) -> list[Path]:
    return list(gateway.folder.rglob(upload_id))


async def test_deleting_an_upload_deletes_its_bytes(gateway: Gateway) -> None:
    upload_id = await upload(gateway)
    assert len(bytes_of(gateway, upload_id)) == 1
    path = f"/api/v1/uploads/{upload_id}"
    assert (await gateway.http.delete(path, headers=BOB)).status_code == 404
    assert (await gateway.http.delete(path, headers=ALICE)).status_code == 204
    assert not bytes_of(gateway, upload_id)
    assert (await gateway.http.delete(path, headers=ALICE)).json()["code"] == "upload.not_found"


@pytest.mark.requirement("F-145")
async def test_upload_used_by_an_active_job_cannot_be_deleted(
    gateway: Gateway, script: Script, uploads: UploadStore
) -> None:
    upload_id, job_id = await upload(gateway), uuid4()
    path = f"/api/v1/uploads/{upload_id}"
    await uploads.pin(str(script.alice), [UUID(upload_id)], job_id)
    for there in (False, True):  # before and after the scheduler accepts the job
        if there:
            script.scheduler.add(script.alice, job_id)
        refused = await gateway.http.delete(path, headers=ALICE)
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.in_use")
        assert str(job_id) in refused.json()["errors"][0]["message"]
    script.scheduler.change(job_id, JobState.CANCELLED)
    assert (await gateway.http.delete(path, headers=ALICE)).status_code == 204


async def test_missing_or_foreign_upload_cannot_be_pinned(
    gateway: Gateway, script: Script, uploads: UploadStore
) -> None:
    upload_id = await upload(gateway)
    other = UUID(await upload(gateway))
    with pytest.raises(UnknownUpload):
        await uploads.pin(str(script.bob), [UUID(upload_id)], uuid4())
    with pytest.raises(UnknownUpload):
        await uploads.pin(str(script.alice), [other, uuid4()], uuid4())
    for one in (upload_id, other):  # the refused calls pinned nothing
        assert (await gateway.http.delete(f"/api/v1/uploads/{one}", headers=ALICE)).status_code == 204
    with pytest.raises(UnknownUpload):
        await uploads.pin(str(script.alice), [UUID(upload_id)], uuid4())


@pytest.mark.requirement("F-145")
async def test_expired_upload_is_deleted_after_its_last_job_ends(
    sweeping: Gateway, script: Script, uploads: UploadStore, database: Database
) -> None:
    free, used = await upload(sweeping), await upload(sweeping)
    job_id = script.scheduler.add(script.alice, uuid4()).job_id
    await uploads.pin(str(script.alice), [UUID(used)], job_id)
    for one in (used, free):
        await expire(database, one)

    async def gone() -> bool:
        return await status(sweeping, free) == 404

    await until(gone)  # the sweep has already checked the other one
    assert await status(sweeping, used) == 200
    script.scheduler.change(job_id, JobState.FAILED)

    async def both_gone() -> bool:
        return await status(sweeping, used) == 404

    await until(both_gone)
    await until(lambda: not bytes_of(sweeping, free) + bytes_of(sweeping, used))  # rows are deleted before the files


async def test_upload_pins_of_a_job_that_was_never_submitted_are_removed(
    sweeping: Gateway, script: Script, uploads: UploadStore, database: Database
) -> None:
    upload_id = await upload(sweeping)
    await uploads.pin(str(script.alice), [UUID(upload_id)], uuid4())
    async with database.connection() as connection:
        pinned = "UPDATE upload_uses SET pinned_at = now() - interval '6 minutes' WHERE upload_id = $1"
        await connection.execute(pinned, upload_id)
    await expire(database, upload_id)

    async def gone() -> bool:
        return await status(sweeping, upload_id) == 404

    await until(gone)


@pytest.mark.requirement("F-140")
async def test_old_orphaned_objects_are_deleted_if_deletion_is_enabled(sweeping: Gateway, script: Script) -> None:
    kept = UUID(await upload(sweeping))
    folder = sweeping.folder / str(script.alice)
    places = [
        folder / "uploads" / str(uuid4()),  # killed between writing the bytes and the row
        folder / "uploads" / f"{uuid4()}#1",  # killed while writing the bytes
        folder / str(uuid4()) / "1" / str(uuid4()),  # the same for an output
    ]
    fresh, foreign = folder / "uploads" / str(uuid4()), sweeping.folder / "a-file-of-the-operator"
    for place in (*places, fresh, foreign):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"bytes")
    long_ago = fresh.stat().st_mtime - timedelta(hours=2).total_seconds()
    for place in (*places, foreign, *bytes_of(sweeping, str(kept))):
        os.utime(place, (long_ago, long_ago))

    async def gone() -> bool:
        return not any(place.exists() for place in places)

    await until(gone)
    assert fresh.exists()
    assert foreign.exists()
    assert bytes_of(sweeping, str(kept))
