"""All outputs of a job as one streamed ZIP archive: complete, bounded in memory, and truncated visibly on an error."""

import hashlib
import os
import re
import zipfile
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from contracts.scheduler.jobs import JobState
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, process
from tests.integration.gateway.test_outputs import finished
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.waiting import until

LARGE = 60 << 20


def begin_anew(pid: int) -> int:
    """Reset the peak memory of the process (VmHWM). Return its current memory in KiB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


def memory(pid: int, which: str) -> int:
    """Return a memory figure from /proc/<pid>/status in KiB."""
    found = re.search(rf"^{which}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def open_files(pid: int | str, folder: Path) -> list[str]:
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return [name for name in found if name.startswith(str(folder))]


async def take(answer: httpx.Response, taken: bytearray) -> None:
    async for chunk in answer.aiter_raw():
        taken += chunk


async def test_archive_contains_every_output_unchanged(gateway: Gateway, script: Script) -> None:
    contents = [b"one", os.urandom(3_000_000), b"", b"four"]
    job_id, outputs = await finished(gateway, script, *contents, name="../a/b\x00.png")
    job = script.scheduler.jobs[job_id]
    shown = tuple(output.model_copy(update={"temporary": n == 3}) for n, output in enumerate(outputs))
    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": shown})
    path = f"/api/v1/jobs/{job_id}/outputs.zip"
    answer = await gateway.http.get(path, headers=ALICE)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.zip"'
    assert answer.headers["accept-ranges"] == "none"
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["b\ufffd.png", "b\ufffd-2.png", "b\ufffd-3.png"]
        assert [archive.read(name) for name in archive.namelist()] == contents[:3]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    assert (await gateway.http.get(path, headers=BOB)).json()["code"] == "job.not_found"
    assert (await gateway.http.get(path)).status_code == 401


async def test_archive_contains_previews_on_request_or_when_nothing_else_exists(
    gateway: Gateway, script: Script
) -> None:
    job_id, outputs = await finished(gateway, script, b"saved", b"preview")
    told = (outputs[0], outputs[1].model_copy(update={"temporary": True}))
    job = script.scheduler.jobs[job_id]

    async def packed(query: str = "") -> list[bytes]:
        answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/outputs.zip{query}", headers=ALICE)
        with zipfile.ZipFile(BytesIO(answer.content)) as archive:
            return [archive.read(name) for name in archive.namelist()]

    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": told})
    assert await packed() == await packed("?temporary=false") == [b"saved"]
    assert await packed("?temporary=true") == [b"preview"]
    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": told[1:]})
    assert await packed() == [b"preview"]


async def test_missing_archive_output_is_reported_before_the_first_byte(gateway: Gateway, script: Script) -> None:
    job_id, outputs = await finished(gateway, script, b"one", b"two")
    path = f"/api/v1/jobs/{job_id}/outputs.zip"
    (gateway.folder / f"{script.alice}/{job_id}/1/{outputs[1].id}").unlink()
    gone = await gateway.http.get(path, headers=ALICE)
    assert (gone.status_code, gone.json()["code"]) == (404, "output.not_found")
    none = script.scheduler.jobs[job_id].model_copy(update={"outputs": ()})
    script.scheduler.jobs[job_id] = none
    assert (await gateway.http.get(path, headers=ALICE)).status_code == 404
    script.scheduler.jobs[job_id] = none.model_copy(update={"state": JobState.RUNNING})
    assert (await gateway.http.get(path, headers=ALICE)).json()["code"] == "job.not_finished"


async def test_archive_streaming_uses_little_memory_and_stops_with_its_reader(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    large = os.urandom(1 << 20) * 60
    async with process(nats_server.url, database_url, tmp_path) as (gateway, pid):
        job_id, _ = await finished(gateway, script, large, b"small", large)
        path = f"/api/v1/jobs/{job_id}/outputs.zip"
        before = begin_anew(pid)
        taken = tmp_path.parent / f"{job_id}.zip"
        with taken.open("wb") as file:
            async with gateway.http.stream("GET", path, headers=ALICE) as answer:
                async for chunk in answer.aiter_raw():
                    file.write(chunk)
        assert memory(pid, "VmHWM") - before < 32 << 10
        with zipfile.ZipFile(taken) as archive:
            assert archive.namelist() == ["a.png", "a-2.png", "a-3.png"]
            for name in ("a.png", "a-3.png"):
                assert hashlib.sha256(archive.read(name)).digest() == hashlib.sha256(large).digest()
            assert archive.read("a-2.png") == b"small"
        async with gateway.http.stream("GET", path, headers=ALICE) as answer:
            assert answer.status_code == 200
            await until(lambda: bool(open_files(pid, tmp_path)))
        await until(lambda: not open_files(pid, tmp_path))


async def test_archive_is_cut_off_when_an_output_disappears(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    async with process(nats_server.url, database_url, tmp_path) as (gateway, _):
        job_id, outputs = await finished(gateway, script, bytes(LARGE), b"vanishes")
        taken = bytearray()
        async with gateway.http.stream("GET", f"/api/v1/jobs/{job_id}/outputs.zip", headers=ALICE) as answer:
            assert answer.status_code == 200
            (gateway.folder / f"{script.alice}/{job_id}/1/{outputs[1].id}").unlink()
            with pytest.raises(httpx.RemoteProtocolError):
                await take(answer, taken)
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(BytesIO(taken))
        assert (await gateway.http.get("/readyz")).status_code == 200
        shortened, outputs = await finished(gateway, script, bytes(LARGE), bytes(9))
        async with gateway.http.stream("GET", f"/api/v1/jobs/{shortened}/outputs.zip", headers=ALICE) as answer:
            assert answer.status_code == 200
            (gateway.folder / f"{script.alice}/{shortened}/1/{outputs[1].id}").write_bytes(bytes(8))
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
