"""Converted images over HTTP, also when the helper process dies or hangs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from contracts.scheduler.outputs import OutputKind
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, stored_files, until_ready
from tests.integration.gateway.long_timeouts import create_app_with_long_timeouts
from tests.integration.gateway.test_outputs import finished
from tests.kit.http import http_client
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until


def png(size: tuple[int, int] = (300, 200)) -> bytes:
    sink = BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(sink, "png")
    return sink.getvalue()


def noise(side: int) -> bytes:
    """Return a PNG of random pixels, which takes long to convert."""
    sink = BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(sink, "png", compress_level=0)
    return sink.getvalue()


def helpers() -> list[int]:
    """Return the pids of the converter processes: children of this process, in which the gateway runs."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # threads and processes may end meanwhile
            for pid in (task / "children").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    if b"gateway.images.converter_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(int(pid))
    return found


@asynccontextmanager
async def one_at_a_time(nats_url: str, database_url: str, folder: Path, within_s: float) -> AsyncIterator[Gateway]:
    app = create_app_with_long_timeouts(
        settings_for(nats_url, database_url, folder, pictures_at_once=1, picture_within_s=within_s)
    )
    async with serving(app) as at, http_client(base_url=f"http://{at}", timeout=within_s + 60) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", folder, nats_url)


@pytest.fixture
async def hurried(
    nats_server: NatsServer,
    database_url: str,
    script: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    """A gateway that converts one picture at a time, with a timeout of six seconds."""
    async with one_at_a_time(nats_server.url, database_url, tmp_path, 6) as gateway:
        yield gateway


@pytest.fixture
async def patient(
    nats_server: NatsServer,
    database_url: str,
    script: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    """A gateway that converts one picture at a time, with a timeout that a slow machine does not exceed."""
    async with one_at_a_time(nats_server.url, database_url, tmp_path, 60) as gateway:
        yield gateway


@pytest.mark.parametrize(("asked", "ending"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
async def test_result_is_converted_to_another_format_and_size(
    gateway: Gateway, script: Script, asked: str, ending: str
) -> None:
    job_id, _ = await finished(gateway, script, png(), name="sub/a.b.png")
    answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/result?format={asked}&width=30&quality=50", headers=ALICE)
    assert answer.status_code == 200, answer.text
    picture = Image.open(BytesIO(answer.content))
    assert (picture.format or "").lower() == asked
    assert picture.size == (30, 20)
    assert answer.headers["content-type"] == f"image/{asked}"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert f'inline; filename="a.b.{ending}"' in answer.headers["content-disposition"]
    assert answer.headers["accept-ranges"] == "none"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = await gateway.http.head(f"/api/v1/jobs/{job_id}/result?format={asked}&width=30&quality=50", headers=ALICE)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type"):
        assert head.headers[name] == answer.headers[name]
    part = await gateway.http.get(
        f"/api/v1/jobs/{job_id}/result?format={asked}&width=30&quality=50", headers=ALICE | {"Range": "bytes=0-3"}
    )
    assert (part.status_code, part.content) == (200, answer.content)


async def test_resizing_keeps_the_format_and_thumbnails_are_webp(gateway: Gateway, script: Script) -> None:
    job_id, _ = await finished(gateway, script, png(), png((2000, 4000)))
    job = f"/api/v1/jobs/{job_id}"
    sized = Image.open(BytesIO((await gateway.http.get(f"{job}/result?height=20", headers=ALICE)).content))
    assert (sized.format, sized.size) == ("PNG", (30, 20))
    for query, size in (("", (256, 171)), ("?index=1", (128, 256)), ("?index=1&size=1024&node=9", (512, 1024))):
        answer = await gateway.http.get(f"{job}/thumbnail{query}", headers=ALICE)
        assert answer.headers["content-type"] == "image/webp"
        small = Image.open(BytesIO(answer.content))
        assert (small.format, small.size) == ("WEBP", size)
    for query in ("size=1025", "size=0"):
        assert (await gateway.http.get(f"{job}/thumbnail?{query}", headers=ALICE)).status_code == 422
    for query in ("format=gif", "quality=0", "quality=101", "width=0", "height=5000"):
        assert (await gateway.http.get(f"{job}/result?{query}", headers=ALICE)).status_code == 422
    for path in ("thumbnail", "result?format=png"):
        assert (await gateway.http.get(f"{job}/{path}", headers=BOB)).status_code == 404
        assert (await gateway.http.get(f"{job}/{path}", headers={})).status_code == 401


async def test_etag_depends_on_source_and_options_without_converting(gateway: Gateway, script: Script) -> None:
    job_id, (output,) = await finished(gateway, script, png())
    job = f"/api/v1/jobs/{job_id}"
    queries = ["format=webp", "format=webp&quality=3", "format=jpeg", "width=7", "height=7"]
    answers = {query: await gateway.http.get(f"{job}/result?{query}", headers=ALICE) for query in queries}
    etags = {answer.headers["etag"] for answer in answers.values()}
    assert len(etags | {f'"{output.sha256}"'}) == len(queries) + 1
    again = await gateway.http.get(f"{job}/result?format=webp", headers=ALICE)
    assert again.content == answers["format=webp"].content
    stored_files(gateway.folder)[0].unlink()
    for query, answer in answers.items():
        named = ALICE | {"If-None-Match": answer.headers["etag"]}
        assert (await gateway.http.get(f"{job}/result?{query}", headers=named)).status_code == 304
        other = await gateway.http.get(f"{job}/result?{query}", headers=ALICE | {"If-None-Match": f'"{output.sha256}"'})
        assert (other.status_code, other.json()["code"]) == (404, "output.not_found")


async def test_non_images_and_oversized_images_are_not_converted(gateway: Gateway, script: Script) -> None:
    bomb = png((5000, 5000))
    assert len(bomb) < 1 << 20
    job_id, _ = await finished(gateway, script, b"<html>", bomb, png()[:200], b"")
    for index, code in enumerate(
        ["output.not_convertible", "output.too_many_pixels", "output.not_convertible", "output.not_convertible"]
    ):
        answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/thumbnail?index={index}", headers=ALICE)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (await gateway.http.get(f"/api/v1/jobs/{job_id}/result?index={index}", headers=ALICE)).status_code == 200
    video, _ = await finished(gateway, script, png(), kind=OutputKind.VIDEO)
    answer = await gateway.http.get(f"/api/v1/jobs/{video}/result?format=png", headers=ALICE)
    assert (answer.status_code, answer.json()["code"]) == (422, "output.not_convertible")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_conversion_recovers_from_a_crashed_or_hanging_helper(
    hurried: Gateway, script: Script, how: signal.Signals
) -> None:
    job_id, _ = await finished(hurried, script, noise(2000), png())
    job = f"/api/v1/jobs/{job_id}"
    disturbed: list[int] = []
    for quality in range(1, 100):  # a helper may end before it is found
        path = f"{job}/result?index=0&format=webp&quality={quality}"
        asking = asyncio.create_task(hurried.http.get(path, headers=ALICE))
        while not asking.done():
            for pid in set(helpers()) - set(disturbed):
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
                    disturbed.append(pid)
            await asyncio.wait({asking}, timeout=0.01)
        answer = await asking
        if disturbed and answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["code"]) == (422, "output.conversion_failed")
    assert not set(disturbed) & set(helpers())

    async def has_recovered() -> bool:
        return (await hurried.http.get(f"{job}/thumbnail?index=1", headers=ALICE)).status_code == 200

    await until(has_recovered)


async def test_conversion_queue_is_bounded(patient: Gateway, script: Script) -> None:
    job_id, _ = await finished(patient, script, noise(1000))
    path = f"/api/v1/jobs/{job_id}/result?format=webp&quality="
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(patient.http.get(f"{path}{n + 1}", headers=ALICE)) for n in range(12)]
        seen: list[int] = []

        def is_converting() -> bool:
            seen[:] = helpers()
            return bool(seen)

        await until(is_converting)
        assert len(seen) == 1
    answers = [task.result() for task in tasks]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 1
    assert sum(answer.status_code == 200 for answer in answers) == len(answers) - len(refused) >= 4
    for answer in refused:
        assert answer.json()["code"] == "output.too_many_conversions"
        assert int(answer.headers["retry-after"]) >= 1
    assert (await patient.http.get(f"/api/v1/jobs/{job_id}/thumbnail", headers=ALICE)).status_code == 200
    assert helpers() == []
