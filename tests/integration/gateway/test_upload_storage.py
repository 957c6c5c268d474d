"""Storage limit of uploads per user, and a gateway that is killed during an upload."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image

from comfyfleet_client import AsyncClient, Retry
from stack.ports import find_free_ports
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, process, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.test_uploads import post, some_png
from tests.kit.images import encode_image
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until

FILES, BYTES, DAYS = 3, 1 << 20, 5
HALF = 400  # side in pixels: a noise image of this size has nearly half of BYTES


@pytest.fixture
async def small(nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with low limits on the stored uploads of each user."""
    assert script.alice
    more = {"max_uploads": FILES, "max_uploads_bytes": BYTES, "upload_days": DAYS}
    app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path, **more))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", tmp_path, nats_server.url)


def noise(side: int) -> bytes:
    return encode_image(Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)))


def files(gateway: Gateway, script: Script) -> list[Path]:
    return list(gateway.folder.glob(f"{script.alice}/uploads/*"))


def names(gateway: Gateway, script: Script) -> set[str]:
    return {path.name for path in files(gateway, script)}


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def age(path: Path, by: timedelta) -> None:
    at = path.stat().st_mtime - by.total_seconds()
    os.utime(path, (at, at))


async def kept(gateway: Gateway) -> set[str]:
    listed = (await gateway.http.get("/api/v1/uploads", params={"limit": 100}, headers=ALICE)).json()
    return {one["id"] for one in listed["uploads"]}


async def taken(gateway: Gateway, content: bytes) -> dict[str, Any]:
    answer = await post(gateway, content)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def is_over(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (413, "upload.quota_exceeded")
    assert f"{FILES} uploads with {BYTES} bytes" in answer.json()["detail"]


async def drop(gateway: Gateway, upload: dict[str, Any]) -> None:
    assert (await gateway.http.delete(f"/api/v1/uploads/{upload['id']}", headers=ALICE)).status_code == 204


async def test_number_of_uploads_is_limited(small: Gateway, script: Script) -> None:
    sent = [some_png() for _ in range(FILES)]
    uploads = [await taken(small, content) for content in sent]
    lasts = [datetime.fromisoformat(one["expires_at"]) - datetime.fromisoformat(one["created_at"]) for one in uploads]
    assert lasts == [timedelta(days=DAYS)] * FILES, "the setting applies to users without their own limit"
    one_more = some_png()
    is_over(await post(small, one_more))
    assert names(small, script) == await kept(small) == {one["id"] for one in uploads}
    assert (await post(small, sent[0])).status_code == 200, "an upload that is already stored needs no space"
    assert (await post(small, one_more, BOB)).status_code == 201, "the limit applies to each user separately"
    await drop(small, uploads[0])
    made = await taken(small, one_more)
    assert names(small, script) == await kept(small) == {made["id"], *(one["id"] for one in uploads[1:])}


async def test_total_size_of_uploads_is_limited(small: Gateway, script: Script) -> None:
    first, second = [await taken(small, noise(HALF)) for _ in range(2)]
    one_more = noise(HALF)
    assert BYTES - len(one_more) < first["size_bytes"] + second["size_bytes"] <= BYTES
    is_over(await post(small, one_more))
    assert names(small, script) == await kept(small) == {first["id"], second["id"]}
    little = await taken(small, some_png())
    await drop(small, little)
    await drop(small, first)
    made = await taken(small, one_more)
    assert names(small, script) == await kept(small) == {second["id"], made["id"]}


@asynccontextmanager
async def held(database_url: str, script: Script) -> AsyncIterator[asyncpg.Connection]:
    """Lock the upload records of Alice until the block ends: uploads write their bytes, but wait to insert the row."""
    connection = await asyncpg.connect(database_url.replace("postgresql+asyncpg", "postgresql"))
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('uploads ' || $1::uuid, 0))", script.alice)
        yield connection
    finally:
        await connection.close()


async def until_waiting(connection: asyncpg.Connection, many: int) -> None:
    async def waiting() -> bool:
        told = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(await connection.fetchval(told) == many)

    await until(waiting)


@pytest.mark.requirement("limit.uploads")
async def test_concurrent_uploads_do_not_exceed_the_limit(small: Gateway, script: Script, database_url: str) -> None:
    before = [await taken(small, some_png()) for _ in range(FILES - 1)]
    async with held(database_url, script) as connection:
        both = [asyncio.create_task(post(small, some_png())) for _ in range(2)]
        await until_waiting(connection, 2)
        assert len(names(small, script)) == FILES + 1, "both passed the first check and were written"
    made, refused = sorted(await asyncio.gather(*both), key=lambda answer: answer.status_code)
    assert made.status_code == 201
    is_over(refused)
    assert names(small, script) == await kept(small) == {made.json()["id"], *(one["id"] for one in before)}


@pytest.mark.requirement("F-140")
async def test_kill_between_bytes_and_row_leaves_no_upload_behind(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    sweeping = {"GATEWAY_ORPHANS_SWEEP_S": "0.05", "GATEWAY_ORPHAN_AGE_S": "3600", "GATEWAY_DELETE_ORPHANS": "1"}
    port, content = find_free_ports(1)[0], some_png()
    patient = Retry(tries=100, max_delay_s=0.2)  # a gateway may take long to start
    async with AsyncClient(f"http://127.0.0.1:{port}", key=ALICE["X-API-Key"], retry=patient) as client:
        async with (
            process(nats_server.url, database_url, tmp_path, port=port, **sweeping) as (gateway, pid),
            held(database_url, script) as connection,
        ):
            sending = asyncio.create_task(client.uploads.add(content))
            await until_waiting(connection, 1)
            (orphan,) = files(gateway, script)
            assert size_of(orphan) == (4, 4), "the file is complete"
            assert await kept(gateway) == set()
            os.kill(pid, signal.SIGKILL)
        async with process(nats_server.url, database_url, tmp_path, port=port, **sweeping) as (gateway, _):
            made = await sending  # the client retries automatically
            assert await kept(gateway) == {made.id}
            assert names(gateway, script) == {made.id, orphan.name}
            for path in files(gateway, script):
                age(path, timedelta(hours=2))
            await until(lambda: not orphan.exists())
            read = await gateway.http.get(f"/api/v1/uploads/{made.id}/content", headers=ALICE)
            assert (read.status_code, len(read.content)) == (200, made.size_bytes)
