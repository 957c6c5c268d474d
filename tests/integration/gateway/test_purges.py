"""Files and rows of a purged job are deleted even if the purge message is duplicated, delayed or lost."""

import os
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from nats.js.errors import NotFoundError

from chassis.messaging import streams
from contracts.registry import GATEWAY_JOB_PURGES, STREAMS
from contracts.scheduler.jobs import JobState
from contracts.scheduler.purges import JOB_PURGED, JobPurged
from gateway.purges.erasure_store import ERASED_USER
from gateway.purges.service import MAX_MISSED
from gateway.purges.store import PurgeStore
from gateway.storage.objects import MARKER_KEY
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, stored_files, until_ready
from tests.integration.gateway.long_timeouts import create_app_with_long_timeouts
from tests.integration.gateway.test_artifact_store import gateway_at, until_reason
from tests.integration.gateway.test_outputs import PNG, finished, grants, here
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


def files(gateway: Gateway) -> list[str]:
    return [path.relative_to(gateway.folder).as_posix() for path in stored_files(gateway.folder)]


def build_purge(tenant_id: UUID, job_id: UUID, *, with_inputs: bool) -> JobPurged:
    return JobPurged(job_id=job_id, tenant_id=tenant_id, with_inputs=with_inputs, at=datetime.now(UTC))


async def say_purged(script: Script, job_id: UUID, *, with_inputs: bool = True) -> None:
    await streams.create_missing_streams(script.scheduler_bus, STREAMS)
    gone = build_purge(script.alice, job_id, with_inputs=with_inputs)
    subject = JOB_PURGED.subject(str(script.alice), str(job_id))
    await script.bus.jetstream.publish(subject, gone.model_dump_json().encode())


async def rows(sql: asyncpg.Connection, job_id: UUID) -> int:
    number: int = await sql.fetchval("SELECT count(*) FROM artifacts WHERE job_id = $1", job_id)
    return number


async def test_purge_returns_the_schedulers_decision(gateway: Gateway, script: Script) -> None:
    job_id = script.scheduler.add(script.alice, uuid4()).job_id
    path = f"/api/v1/jobs/{job_id}"
    running = await gateway.http.delete(path, params={"purge": True}, headers=ALICE)
    assert (running.status_code, running.json()["code"]) == (409, "job.not_ended")
    assert "Cancel it first" in running.json()["detail"]
    assert (await gateway.http.delete(path, headers=ALICE)).json()["status"] == "cancelled"
    assert (await gateway.http.delete(path, params={"purge": True}, headers=BOB)).status_code == 404
    purged = await gateway.http.delete(path, params={"purge": "true"}, headers=ALICE)
    assert (purged.status_code, purged.content) == (204, b"")
    assert (await gateway.http.delete(path, params={"purge": True}, headers=ALICE)).json()["code"] == "job.not_found"
    assert (await gateway.http.delete(path, params={"purge": "perhaps"}, headers=ALICE)).status_code == 422


@pytest.mark.requirement("table gateway.purged_jobs")
async def test_purged_job_leaves_no_bytes_and_rows(gateway: Gateway, script: Script, sql: asyncpg.Connection) -> None:
    job_id, _ = await finished(gateway, script, PNG, b"small")
    kept, (output,) = await finished(gateway, script, b"another job's")
    unrecorded = gateway.folder / str(script.alice) / str(job_id) / "1" / str(uuid4())  # an interrupted upload
    unrecorded.write_bytes(b"orphan")
    (late,) = await grants(script, job_id)
    del script.scheduler.jobs[job_id]
    for _ in range(2):  # messages may be delivered twice
        await say_purged(script, job_id)
    await until(lambda: not (gateway.folder / str(script.alice) / str(job_id)).exists())

    async def forgotten() -> bool:
        return await rows(sql, job_id) == 0

    await until(forgotten)
    refused = await gateway.http.put(here(gateway, late), content=PNG)
    assert (refused.status_code, refused.json()["code"]) == (404, "job.not_found")
    assert (await rows(sql, job_id), await rows(sql, kept)) == (0, 1)
    assert files(gateway) == [f"{script.alice}/{kept}/1/{output.id}"]


async def test_purge_whose_message_was_lost_is_detected_later(
    gateway: Gateway, script: Script, sql: asyncpg.Connection, nats_server: NatsServer, database_url: str
) -> None:
    job_id, _ = await finished(gateway, script, b"lost")
    kept, _ = await finished(gateway, script, b"kept")
    await sql.execute("UPDATE artifacts SET created_at = now() - interval '2 hours' WHERE job_id = $1", job_id)
    del script.scheduler.jobs[job_id]
    settings = settings_for(nats_server.url, database_url, gateway.folder, remains_every_s=0.1)
    async with serving(create_app_with_long_timeouts(settings)):

        async def forgotten() -> bool:
            return await rows(sql, job_id) == 0

        await until(forgotten)
    assert not (gateway.folder / str(script.alice) / str(job_id)).exists()
    assert await rows(sql, kept) == 1


@pytest.mark.parametrize("is_pending", [True, False], ids=["this version", "earlier version"])
async def test_purge_resumes_after_a_crash_between_deleting_files_and_rows(  # noqa: PLR0917 - by name
    gateway: Gateway,
    script: Script,
    sql: asyncpg.Connection,
    nats_server: NatsServer,
    database_url: str,
    is_pending: bool,
) -> None:
    """A process killed during a purge leaves the tombstone and part of the data; the next sweep deletes the rest."""
    job_id, (first, _) = await finished(gateway, script, b"gone already", b"not yet")
    (gateway.folder / str(script.alice) / str(job_id) / "1" / str(first.id)).unlink()
    tombstone = "INSERT INTO purged_jobs (job_id, tenant_id, is_pending) VALUES ($1, $2, $3)"
    await sql.execute(tombstone, job_id, script.alice, is_pending)
    settings = settings_for(nats_server.url, database_url, gateway.folder, remains_every_s=0.1)
    async with serving(create_app_with_long_timeouts(settings)) as at:
        await until_ready(gateway.http)
        assert at

        async def forgotten() -> bool:
            return await rows(sql, job_id) == 0

        await until(forgotten)
    assert not (gateway.folder / str(script.alice) / str(job_id)).exists()


async def until_consumer_exists(script: Script) -> None:
    async def exists() -> bool:
        try:
            await script.bus.jetstream.consumer_info(GATEWAY_JOB_PURGES.stream.name, GATEWAY_JOB_PURGES.name)
        except NotFoundError:
            return False
        return True

    await until(exists)


async def use_up_deliveries(script: Script, jobs: Collection[UUID]) -> None:
    """Let deliveries of these purges fail until one more failure is too many. No gateway may be running."""
    left = {str(job_id) for job_id in jobs}
    consumer = await script.bus.jetstream.pull_subscribe_bind(
        GATEWAY_JOB_PURGES.name, stream=GATEWAY_JOB_PURGES.stream.name
    )
    while left:
        for message in await consumer.fetch(len(left), timeout=60):
            if message.metadata.num_delivered >= GATEWAY_JOB_PURGES.max_deliver:
                left.discard(message.subject.rpartition(".")[2])
            await message.nak()
    await consumer.unsubscribe()


async def test_purges_outlast_any_mismatch_of_the_artifact_store(
    script: Script, nats_server: NatsServer, own_database: str, tmp_path: Path
) -> None:
    await streams.create_missing_streams(script.scheduler_bus, STREAMS)
    async with gateway_at(nats_server, own_database, tmp_path) as gateway:
        await until_ready(gateway.http)
        # More than a comparison with the scheduler would delete.
        jobs = [(await finished(gateway, script, b"output"))[0] for _ in range(MAX_MISSED + 1)]
        await until_consumer_exists(script)
    for job_id in jobs:
        del script.scheduler.jobs[job_id]
        await say_purged(script, job_id)
    await use_up_deliveries(script, jobs)
    marker = tmp_path / MARKER_KEY
    content = marker.read_bytes()
    marker.unlink()
    sql = await asyncpg.connect(own_database.replace("+asyncpg", ""))

    async def are_recorded() -> bool:
        recorded: int = await sql.fetchval("SELECT count(*) FROM purged_jobs WHERE job_id = ANY($1)", jobs)
        return recorded == len(jobs)

    async def are_forgotten() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM artifacts")

    async with gateway_at(nats_server, own_database, tmp_path, remains_every_s=0.1) as gateway:
        await until_reason(gateway, "Perhaps a volume is not mounted")
        await until(are_recorded)
        await sql.execute("UPDATE purged_jobs SET at = now() - interval '1 month'")
        assert len(stored_files(tmp_path)) == len(jobs)
        marker.write_bytes(content)
        await until(are_forgotten)
    assert stored_files(tmp_path) == []
    assert await sql.fetchval("SELECT count(*) FROM dead_letters") == 0
    await sql.close()


async def test_purge_stays_in_the_stream_while_the_database_may_be_the_wrong_one(
    script: Script, nats_server: NatsServer, own_database: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    await streams.create_missing_streams(script.scheduler_bus, STREAMS)
    async with gateway_at(nats_server, own_database, tmp_path) as gateway:
        await until_ready(gateway.http)
        job_id, _ = await finished(gateway, script, b"output")
        await until_consumer_exists(script)
    wrong_database = await postgres_server.create_database("gateway")
    sql = await asyncpg.connect(wrong_database.replace("+asyncpg", ""))
    del script.scheduler.jobs[job_id]
    await say_purged(script, job_id)

    async def is_recorded() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM purged_jobs WHERE job_id = $1", job_id))

    async with gateway_at(nats_server, wrong_database, tmp_path):
        await until(is_recorded)
    async with gateway_at(nats_server, own_database, tmp_path):
        await until(lambda: stored_files(tmp_path) == [])
    await sql.close()


async def test_file_that_cannot_be_deleted_does_not_stop_other_purges(
    script: Script, nats_server: NatsServer, own_database: str, tmp_path: Path
) -> None:
    async with gateway_at(nats_server, own_database, tmp_path, remains_every_s=0.1) as gateway:
        await until_ready(gateway.http)
        stuck, other = [(await finished(gateway, script, b"output"))[0] for _ in range(2)]
        folder = tmp_path / str(script.alice) / str(stuck)
        unreadable = folder / "1" / os.fsdecode(b"\xff")  # fails each listing of its folder
        unreadable.write_bytes(b"")
        for job_id in (stuck, other):
            del script.scheduler.jobs[job_id]
            await say_purged(script, job_id)
        await until(lambda: not (tmp_path / str(script.alice) / str(other)).exists())
        assert folder.exists()
        unreadable.unlink()
        await until(lambda: not folder.exists())


async def add_upload(sql: asyncpg.Connection, folder: Path, tenant_id: UUID, *users: UUID) -> str:
    """Add an upload that ended jobs used, and return its key."""
    upload_id = uuid4()
    key = f"{tenant_id}/uploads/{upload_id}"
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(b"image")
    await sql.execute(
        "INSERT INTO uploads (id, tenant_id, sent_sha256, sha256, key, content_type, size_bytes, width, height,"
        " expires_at) VALUES ($1, $2, $3, $3, $4, 'image/png', 5, 1, 1, now() + interval '1 day')",
        upload_id, tenant_id, uuid4().hex * 2, key,
    )  # fmt: skip
    for user in users:
        await sql.execute(
            "INSERT INTO upload_uses (upload_id, job_id, ended_at) VALUES ($1, $2, now())", upload_id, user
        )
    return key


async def count_uses(sql: asyncpg.Connection, job_id: UUID) -> int:
    number: int = await sql.fetchval("SELECT count(*) FROM upload_uses WHERE job_id = $1", job_id)
    return number


async def until_data_is_deleted(sql: asyncpg.Connection, job_id: UUID) -> None:
    """Wait until the job's purge is recorded and its data is deleted."""

    async def is_deleted() -> bool:
        return await sql.fetchval("SELECT is_pending FROM purged_jobs WHERE job_id = $1", job_id) is False

    await until(is_deleted)


async def test_purge_deletes_uploads_used_only_by_the_job(
    gateway: Gateway, script: Script, sql: asyncpg.Connection
) -> None:
    job_id, other = uuid4(), uuid4()
    users = {"alone": (job_id,), "shared": (job_id, other), "others": (other,)}
    keys = {name: await add_upload(sql, gateway.folder, script.alice, *jobs) for name, jobs in users.items()}
    await say_purged(script, job_id)
    await until_data_is_deleted(sql, job_id)
    assert await count_uses(sql, job_id) == 0
    left = {row["key"] for row in await sql.fetch("SELECT key FROM uploads WHERE tenant_id = $1", script.alice)}
    assert keys["alone"] not in left
    assert left >= {keys["shared"], keys["others"]}
    assert [name for name, key in keys.items() if (gateway.folder / key).exists()] == ["shared", "others"]


async def test_purge_with_inputs_deletes_uploads_although_it_was_recorded_without_inputs_before(
    gateway: Gateway, script: Script, sql: asyncpg.Connection
) -> None:
    """As after an outage: the comparison with the scheduler finds the deleted job before its message arrives."""
    job_id, other = uuid4(), uuid4()
    keys = [await add_upload(sql, gateway.folder, script.alice, *users) for users in ((job_id,), (job_id, other))]
    for purged in (job_id, other):
        await say_purged(script, purged, with_inputs=False)
        await until_data_is_deleted(sql, purged)
    assert all((gateway.folder / key).exists() for key in keys)
    await say_purged(script, job_id)
    await until(lambda: not any((gateway.folder / key).exists() for key in keys))


async def test_purge_that_gets_inputs_while_its_files_are_deleted_remains_pending(
    sql: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    """As with two gateways: one deletes the files while the other records the message with the inputs."""
    database, tenant_id, job_id = database_with_long_timeout(database_url, pool_size=2), uuid4(), uuid4()
    try:
        purges = PurgeStore(database)
        await add_upload(sql, tmp_path, tenant_id, job_id)
        await purges.record_purges([build_purge(tenant_id, job_id, with_inputs=False)])
        listed = await purges.list_pending(UUID(int=job_id.int - 1), limit=1)
        assert [row["job_id"] for row in listed] == [job_id]
        await purges.record_purges([build_purge(tenant_id, job_id, with_inputs=True)])
        await purges.end_pending(listed)
        listed = await purges.list_pending(UUID(int=job_id.int - 1), limit=1)
        assert [(row["job_id"], row["with_inputs"]) for row in listed] == [(job_id, True)]
        assert await count_uses(sql, job_id) == 1
        await purges.end_pending(listed)
        assert not await purges.list_pending(UUID(int=job_id.int - 1), limit=1)
    finally:
        await database.close()


@pytest.mark.requirement("table gateway.upload_uses")
async def test_upload_is_not_used_by_a_purged_job_and_the_record_of_its_use_is_pruned(
    gateway: Gateway, script: Script, sql: asyncpg.Connection, database_url: str
) -> None:
    old, recent = uuid4(), uuid4()
    key = await add_upload(sql, gateway.folder, script.alice, old, recent)
    await sql.execute("UPDATE upload_uses SET ended_at = NULL WHERE job_id = ANY($1)", [old, recent])
    for job_id in (old, recent):
        await say_purged(script, job_id, with_inputs=False)
        await until_data_is_deleted(sql, job_id)
    assert not await sql.fetchval("SELECT count(*) FROM upload_uses WHERE ended_at IS NULL AND job_id = $1", recent)
    await sql.execute("UPDATE purged_jobs SET at = now() - interval '8 days' WHERE job_id = $1", old)
    database = database_with_long_timeout(database_url, pool_size=2)
    try:
        await PurgeStore(database).prune()
    finally:
        await database.close()
    assert [await count_uses(sql, job_id) for job_id in (old, recent)] == [0, 1]
    assert await sql.fetchval("SELECT array_agg(job_id) FROM purged_jobs WHERE job_id = ANY($1)", [old, recent]) == [
        recent
    ]
    assert (gateway.folder / key).exists()


@pytest.mark.requirement("S-84")
async def test_erased_tenant_leaves_nothing_although_the_gateway_was_down(
    gateway: Gateway, script: Script, sql: asyncpg.Connection, nats_server: NatsServer, database_url: str
) -> None:
    async def left(tenant: UUID) -> set[str]:
        tables = {
            "artifacts": "tenant_id",
            "uploads": "tenant_id",
            "workflows": "tenant_id",
            "usage_requests": "user_id",
        }
        return {
            name
            for name, whose in tables.items()
            if await sql.fetchval(f"SELECT EXISTS (SELECT 1 FROM {name} WHERE {whose} = $1)", tenant)  # noqa: S608 - constants
        }

    await finished(gateway, script, b"alice's")
    graph = {"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a"}}}
    for who in (ALICE, BOB):
        saved = await gateway.http.put("/api/v1/workflows/mine", json={"workflow": graph}, headers=who)
        assert saved.status_code in {200, 201}, saved.text
    unused = gateway.folder / str(script.alice) / "uploads" / str(uuid4())
    unused.parent.mkdir(parents=True, exist_ok=True)
    unused.write_bytes(b"image")

    async def is_counted() -> bool:
        return await left(script.alice) >= {"artifacts", "workflows", "usage_requests"}

    async def requests(user: UUID) -> int:
        counted = "SELECT coalesce(sum(requests), 0)::bigint FROM usage_requests WHERE user_id = $1"
        return int(await sql.fetchval(counted, user))

    await until(is_counted)
    alices, nobodys = await requests(script.alice), await requests(ERASED_USER)
    script.auth.erased.append(script.alice)
    async with serving(create_app_with_long_timeouts(settings_for(nats_server.url, database_url, gateway.folder))):

        async def gone() -> bool:
            return not (gateway.folder / str(script.alice)).exists() and await left(script.alice) == set()

        await until(gone)
    assert "workflows" in await left(script.bob)
    assert await requests(ERASED_USER) - nobodys >= alices > 0


async def test_tenant_whose_files_cannot_be_deleted_does_not_stop_other_erasures(
    script: Script, nats_server: NatsServer, own_database: str, tmp_path: Path
) -> None:
    async with gateway_at(nats_server, own_database, tmp_path) as gateway:
        await until_ready(gateway.http)
        stuck, other = [tmp_path / str(tenant) for tenant in (script.alice, script.bob)]
        for folder in (stuck, other):
            (folder / "uploads").mkdir(parents=True)
            (folder / "uploads" / str(uuid4())).write_bytes(b"image")
        unreadable = stuck / "uploads" / os.fsdecode(b"\xff")  # fails each listing of its folder
        unreadable.write_bytes(b"")
        script.auth.erased += [script.alice, script.bob]
        await until(lambda: not other.exists())
        assert stuck.exists()
        unreadable.unlink()
        await until(lambda: not stuck.exists())


@pytest.mark.requirement("F-143")
async def test_download_during_a_purge_is_complete_or_not_found(gateway: Gateway, script: Script) -> None:
    job_id, _ = await finished(gateway, script, PNG)
    path = f"/api/v1/jobs/{job_id}/result"
    async with gateway.http.stream("GET", path, headers=ALICE) as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_raw()
        content = await anext(chunks)
        del script.scheduler.jobs[job_id]
        await say_purged(script, job_id)
        await until(lambda: not (gateway.folder / str(script.alice) / str(job_id)).exists())
        async for chunk in chunks:
            content += chunk
    assert content == PNG
    assert (await gateway.http.get(path, headers=ALICE)).status_code == 404


async def test_search_for_missed_purges_keeps_existing_jobs(gateway: Gateway, script: Script) -> None:
    job_id, _ = await finished(gateway, script, b"here")
    assert script.scheduler.jobs[job_id].state is JobState.SUCCEEDED
    answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/result", headers=ALICE)
    assert answer.content == b"here"
