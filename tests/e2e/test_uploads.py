"""Uploads on the whole system, by people and programs."""

import asyncio
import hashlib
import json
import os
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from comfyfleet_client import AsyncClient, Client, InvalidRequest, NotFound
from tests.kit.fleet import Fleet
from tests.kit.images import encode_image

COMFYFLEET = Path(sys.executable).with_name("comfyfleet")


async def run(fleet: Fleet, *arguments: object, key: str = "") -> tuple[int, str]:
    """Run a command with the demo user's or another key; returns exit status and output."""
    environment = os.environ | {"COMFYFLEET_URL": fleet.base_url, "COMFYFLEET_KEY": key or fleet.key}
    process = await asyncio.create_subprocess_exec(
        COMFYFLEET, *map(str, arguments), env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode().strip()


@pytest.mark.requirement(
    "POST /api/v1/upload",
    "GET /api/v1/uploads",
    "GET /api/v1/uploads/{upload_id}",
    "GET /api/v1/uploads/{upload_id}/content",
    "HEAD /api/v1/uploads/{upload_id}/content",
    "DELETE /api/v1/uploads/{upload_id}",
)
async def test_cli_and_client_uploads_are_identical(fleet: Fleet, tmp_path: Path) -> None:
    picture = encode_image(Image.frombytes("RGB", (4, 4), os.urandom(48)))
    path, gif = tmp_path / "a picture.png", tmp_path / "a.gif"
    path.write_bytes(picture)
    gif.write_bytes(encode_image(Image.new("L", (4, 4)), "GIF"))

    status, upload_id = await run(fleet, "upload", path)
    assert status == 0
    assert (await run(fleet, "upload", gif))[0] == 3
    status, listed = await run(fleet, "uploads", "--limit", "1", "--json")
    assert [json.loads(line)["id"] for line in listed.splitlines()] == [upload_id]

    def with_the_client() -> None:
        with Client(fleet.base_url, key=fleet.key) as client:
            for source in (str(path), picture, BytesIO(picture)):
                made = client.uploads.add(source)
                assert made.id == upload_id
            assert (made.width, made.height, made.content_type) == (4, 4, "image/png")
            assert next(client.uploads.list(page_size=1)).id == upload_id
            with pytest.raises(InvalidRequest):
                client.uploads.add(gif)

    await asyncio.to_thread(with_the_client)
    async with AsyncClient(fleet.base_url, key=fleet.key) as client:
        assert (await client.uploads.add(path)).id == upload_id
        made = await client.uploads.get(upload_id)
        assert await anext(client.uploads.list()) == made
        assert made.expires_at, "the tier's retention sets the expiry"
        async with fleet.client() as http:
            content, head = await http.get(made.url), await http.head(made.url)
        assert hashlib.sha256(content.content).hexdigest() == made.sha256
        with Image.open(BytesIO(content.content)) as kept, Image.open(path) as sent:
            assert kept.tobytes() == sent.tobytes()
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "etag"):
            assert head.headers[name] == content.headers[name]
        assert (await run(fleet, "uploads", "--delete", upload_id))[0] == 0
        with pytest.raises(NotFound):
            await client.uploads.delete(upload_id)
        async with fleet.client() as http:
            assert (await http.get(made.url)).status_code == 404


async def test_upload_without_a_retention_limit_never_expires(fleet: Fleet) -> None:
    unlimited = fleet.create_user("keeps-uploads", "enterprise")
    async with fleet.client(unlimited) as http:
        fleet.set_limits((await http.get("/auth/me")).json()["id"], upload_days=None)
    async with AsyncClient(fleet.base_url, key=unlimited) as client:
        made = await client.uploads.add(encode_image(Image.frombytes("RGB", (4, 4), os.urandom(48))))
        assert made.expires_at is None
        assert (await run(fleet, "uploads", "--limit", "1", key=unlimited))[1].endswith("never")
        await client.uploads.delete(made)
