"""Uploads over HTTP, through the real gateway."""

import os
from datetime import datetime

import httpx
import pytest
from PIL import Image

from tests.integration.gateway.conftest import ALICE, BOB, Gateway
from tests.kit.images import encode_image
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.waiting import until

pytestmark = pytest.mark.shares_gateway


def some_png() -> bytes:
    """Return an image with random content, so that no upload of it exists."""
    return encode_image(Image.frombytes("RGBA", (4, 4), os.urandom(64)))


async def post(gateway: Gateway, content: bytes, headers: dict[str, str] = ALICE) -> httpx.Response:
    return await gateway.http.post("/api/v1/upload", files={"file": ("a.png", content, "image/png")}, headers=headers)


async def test_upload_is_stored_and_read_back(gateway: Gateway) -> None:
    sent = encode_image(Image.new("RGBA", (20, 10), (10, 20, 30, 0)))
    answer = await post(gateway, sent)
    assert answer.status_code == 201, answer.text
    upload = answer.json()
    assert (upload["width"], upload["height"], upload["content_type"]) == (20, 10, "image/png")
    assert answer.headers["location"] == f"/api/v1/uploads/{upload['id']}"
    read = await gateway.http.get(f"/api/v1/uploads/{upload['id']}", headers=ALICE)
    assert read.json() == upload


@pytest.mark.requirement("F-144")
async def test_equal_files_are_deduplicated_per_tenant(gateway: Gateway) -> None:
    sent = some_png()
    first, again, bobs = [await post(gateway, sent, whose) for whose in (ALICE, ALICE, BOB)]
    assert [first.status_code, again.status_code, bobs.status_code] == [201, 200, 201]
    assert first.json()["id"] == again.json()["id"] != bobs.json()["id"]
    raw = await gateway.http.post("/api/v1/upload", content=sent, headers={**ALICE, "Content-Type": "image/png"})
    assert (raw.status_code, raw.json()["id"]) == (200, first.json()["id"])
    for path in ("", "/content"):
        url = f"/api/v1/uploads/{first.json()['id']}{path}"
        assert (await gateway.http.get(url, headers=BOB)).status_code == 404


async def test_upload_content_is_served_like_a_result(gateway: Gateway) -> None:
    upload = (await post(gateway, some_png())).json()
    url = f"/api/v1/uploads/{upload['id']}/content"
    whole = await gateway.http.get(url, headers=ALICE)
    assert (len(whole.content), whole.headers["etag"]) == (upload["size_bytes"], f'"{upload["sha256"]}"')
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-type"] == "image/png"
    assert upload["id"] in whole.headers["content-disposition"]
    part = await gateway.http.get(url, headers={**ALICE, "Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    same = await gateway.http.get(url, headers={**ALICE, "If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert (await gateway.http.head(url, headers=ALICE)).headers["content-length"] == str(upload["size_bytes"])


async def test_uploads_are_listed_newest_first(gateway: Gateway) -> None:
    made = [(await post(gateway, some_png())).json()["id"] for _ in range(3)]
    first = (await gateway.http.get("/api/v1/uploads", params={"limit": 2}, headers=ALICE)).json()
    assert [one["id"] for one in first["uploads"]] == [made[2], made[1]]
    more = {"limit": 1, "cursor": first["next_cursor"]}
    second = (await gateway.http.get("/api/v1/uploads", params=more, headers=ALICE)).json()
    assert [one["id"] for one in second["uploads"]] == [made[0]]
    other = await gateway.http.get("/api/v1/uploads", params=more, headers=BOB)
    assert other.json()["code"] == "cursor.invalid"


@pytest.mark.requirement("limit.upload_days")
async def test_upload_expiry_follows_the_users_limits(gateway: Gateway, script: Script) -> None:
    async def kept_days(content: bytes) -> int | None:
        upload = (await post(gateway, content)).json()
        read = await gateway.http.get(f"/api/v1/uploads/{upload['id']}", headers=ALICE)
        assert read.json() == upload
        if upload["expires_at"] is None:
            return None
        return (datetime.fromisoformat(upload["expires_at"]) - datetime.fromisoformat(upload["created_at"])).days

    async def limited(days: int | None) -> None:
        limits = UNLIMITED.model_copy(update={"upload_days": days})
        await script.publish_change(script.auth.change(script.alice, limits=limits))

        async def heard() -> bool:
            return await kept_days(some_png()) == days

        await until(heard)

    short, long = some_png(), some_png()
    await limited(3)
    assert await kept_days(short) == 3
    await limited(5)
    assert await kept_days(short) == 5, "uploading it again extends the retention"
    await limited(3)
    assert await kept_days(short) == 5, "but never shortens it"
    await limited(None)
    assert await kept_days(long) is None
    assert await kept_days(short) is None
    await limited(3)
    assert await kept_days(long) is None
    listed = (await gateway.http.get("/api/v1/uploads", headers=ALICE)).json()["uploads"]
    assert {None} < {one["expires_at"] for one in listed}
