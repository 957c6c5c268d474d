"""Uploads, from the first byte to the last, through the real gateway."""

from io import BytesIO
from typing import Any

import httpx
from PIL import Image

from tests.integration.gateway.conftest import ALICE, BOB, Gateway


def file_of(picture: Image.Image, format_: str = "PNG", **more: Any) -> bytes:
    sink = BytesIO()
    picture.save(sink, format_, **more)
    return sink.getvalue()


async def post(gateway: Gateway, content: bytes, headers: dict[str, str] = ALICE) -> httpx.Response:
    return await gateway.http.post("/api/v1/upload", files={"file": ("a.png", content, "image/png")}, headers=headers)


async def test_an_upload_is_kept_and_read_back(gateway: Gateway) -> None:
    sent = file_of(Image.new("RGBA", (20, 10), (10, 20, 30, 0)))
    answer = await post(gateway, sent)
    assert answer.status_code == 201, answer.text
    upload = answer.json()
    assert (upload["width"], upload["height"], upload["content_type"]) == (20, 10, "image/png")
    assert answer.headers["location"] == f"/api/v1/uploads/{upload['id']}"
    again = await post(gateway, sent)
    assert (again.status_code, again.json()["id"]) == (200, upload["id"])
    read = await gateway.http.get(f"/api/v1/uploads/{upload['id']}", headers=ALICE)
    assert read.json() == again.json()
    assert (await gateway.http.get(f"/api/v1/uploads/{upload['id']}", headers=BOB)).status_code == 404
    assert (await post(gateway, sent, BOB)).status_code == 201
