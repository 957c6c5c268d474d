"""Export of a user's data as one streamed ZIP archive: records and files, one export at a time."""

import json
import os
import zipfile
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import httpx

from chassis.database.postgres import Database
from contracts.scheduler.jobs import Job, JobState
from gateway.exports.files import ExportFiles
from gateway.storage.artifacts import ArtifactRecords
from gateway.storage.objects import ArtifactStore
from gateway.storage.status import StoreStatus
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.test_outputs import finished
from tests.kit.images import flat_png
from tests.kit.scripted import Script, output_of
from tests.kit.waiting import until

PATH = "/api/v1/auth/me/export"
LARGE = 19_000_000  # more bytes than socket buffers hold, so that an unread response stays open


async def session(gateway: Gateway, script: Script, user: UUID) -> dict[str, str]:
    """Return an Authorization header that the gateway accepts, once it has fetched the signing key."""
    headers = {"Authorization": f"Bearer {script.auth.token(user)}"}

    async def is_let_in() -> bool:
        return (await gateway.http.get("/api/v1/jobs", headers=headers)).status_code == 200

    await until(is_let_in)
    return headers


def unpacked(content: bytes) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
    """Return the records by type, and all other files by name."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    assert len(files) == len(archive.namelist())
    sorts = {name.removesuffix(".jsonl"): content for name, content in files.items() if name.endswith(".jsonl")}
    records = {sort: [json.loads(line) for line in content.splitlines()] for sort, content in sorts.items()}
    return records, {name: content for name, content in files.items() if not name.endswith(".jsonl")}


async def test_export_contains_records_and_their_files(gateway: Gateway, script: Script) -> None:
    alice = await session(gateway, script, script.alice)
    contents = [b"one", os.urandom(3_000_000), b"", b"deleted meanwhile"]
    job_id, outputs = await finished(gateway, script, *contents, name="../a.png")
    other, _ = await finished(gateway, script, b"another job's")
    (gateway.folder / f"{script.alice}/{job_id}/1/{outputs[3].id}").unlink()
    picture = {"file": ("a.png", flat_png(8), "image/png")}
    uploaded = await gateway.http.post("/api/v1/upload", files=picture, headers=alice)
    upload = uploaded.json()["id"]
    kept = await gateway.http.get(f"/api/v1/uploads/{upload}/content", headers=alice)

    answer = await gateway.http.get(PATH, headers=alice)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    records, files = unpacked(answer.content)
    of_job = [f"outputs/{job_id}/{name}" for name in ("a.png", "a-2.png", "a-3.png", "a-4.png")]
    named = {job["job_id"]: [output["file"] for output in job["outputs"]] for job in records["jobs"]}
    assert named == {str(other): [f"outputs/{other}/a.png"], str(job_id): of_job}
    graphs = {job["job_id"]: job["workflow_graph"] for job in records["jobs"]}
    assert graphs == {str(one): {"1": {"job": str(one)}} for one in (other, job_id)}
    assert [one["file"] for one in records["uploads"]] == [f"uploads/{upload}.png"]
    assert files == {
        f"uploads/{upload}.png": kept.content,
        f"outputs/{other}/a.png": b"another job's",
        **dict(zip(of_job[:3], contents[:3], strict=True)),
    }

    records, files = unpacked((await gateway.http.get(PATH, params={"files": False}, headers=alice)).content)
    assert files == {}
    assert len(records["jobs"]) == 2
    assert {output["file"] for job in records["jobs"] for output in job["outputs"]} == {None}
    assert [one["file"] for one in records["uploads"]] == [None]

    bob = await session(gateway, script, script.bob)
    records, files = unpacked((await gateway.http.get(PATH, headers=bob)).content)
    assert (records["jobs"], records["uploads"], files) == ([], [], {})


async def test_user_has_one_export_at_a_time(gateway: Gateway, script: Script) -> None:
    alice, bob = [await session(gateway, script, user) for user in (script.alice, script.bob)]
    job_id, _ = await finished(gateway, script, bytes(LARGE))

    async def asked(who: dict[str, str]) -> httpx.Response:
        return await gateway.http.get(PATH, headers=who)

    async with gateway.http.stream("GET", PATH, headers=alice) as first:
        assert first.status_code == 200
        second = await asked(alice)
        assert (second.status_code, second.json()["code"]) == (429, "auth.export_running")
        assert second.headers["retry-after"] == "10"
        assert (await asked(bob)).status_code == 200
        whole = await first.aread()
    _, files = unpacked(whole)
    assert files == {f"outputs/{job_id}/a.png": bytes(LARGE)}

    async def is_free() -> bool:
        return (await asked(alice)).status_code == 200

    await until(is_free)
    async with gateway.http.stream("GET", PATH, headers=alice) as left_alone:  # the client disconnects
        assert (left_alone.status_code, (await asked(alice)).status_code) == (200, 429)
    await until(is_free)


async def test_export_with_an_unreadable_source_fails_without_blocking_the_next(
    gateway: Gateway, script: Script
) -> None:
    alice = await session(gateway, script, script.alice)
    await script.stop_auth()
    refused = await gateway.http.get(PATH, headers=alice)
    assert (refused.status_code, refused.json()["code"]) == (503, "service.unavailable")
    await script.restart_auth()

    async def is_there() -> bool:
        return (await gateway.http.get(PATH, headers=alice)).status_code == 200

    await until(is_there)


async def test_export_contains_files_of_the_newest_jobs_and_records_of_all(tmp_path: Any) -> None:
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none", name="test")
    files = ExportFiles(
        str(uuid4()),
        ArtifactRecords(database),
        ArtifactStore(tmp_path.as_uri(), StoreStatus(min_free_bytes=0)),
        max_files=2,
    )
    script = Script("nats://127.0.0.1:1")
    job = script.scheduler.add(uuid4(), uuid4(), state=JobState.SUCCEEDED)
    shown = Job(**job.model_dump() | {"outputs": tuple(output_of(uuid4(), b"x") for _ in range(3))})
    assert files.add_outputs(shown) == [f"outputs/{job.job_id}/a.png", f"outputs/{job.job_id}/a-2.png", None]
    await database.close()
