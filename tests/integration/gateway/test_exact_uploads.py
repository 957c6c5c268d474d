"""Files that are stored unchanged, and images with minor damage."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, stored_files, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.images import encode_image
from tests.kit.media import binary_stl, exr, safetensors, samples, splat, wav
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.serving import serving
from tests.kit.waiting import until

NOISE = Image.effect_noise((64, 48), 90).convert("RGB")


async def post(gateway: Gateway, content: bytes, name: str = "a", **query: str) -> httpx.Response:
    sent = {"file": (name, content, "application/octet-stream")}
    return await gateway.http.post("/api/v1/upload", files=sent, params=query, headers=ALICE)


async def post_bare(gateway: Gateway, content: Any, content_type: str = "application/octet-stream") -> httpx.Response:
    headers = {**ALICE, "Content-Type": content_type}
    return await gateway.http.post("/api/v1/upload", content=content, headers=headers)


async def content_of(gateway: Gateway, answer: httpx.Response) -> httpx.Response:
    assert answer.status_code in {200, 201}, answer.text
    return await gateway.http.get(f"/api/v1/uploads/{answer.json()['id']}/content", headers=ALICE)


async def picture_of(gateway: Gateway, sent: bytes) -> Image.Image:
    picture = Image.open(BytesIO((await content_of(gateway, await post(gateway, sent))).content))
    picture.load()
    return picture


def files(gateway: Gateway) -> list[Path]:
    return sorted(stored_files(gateway.folder))


async def test_exact_upload_of_every_type_is_served_unchanged_as_a_download(gateway: Gateway) -> None:
    for extension, sample in samples().items():
        answer = await post(gateway, sample.content, "misleading.png")
        assert answer.status_code == 201, (extension, answer.text)
        upload = answer.json()
        assert (upload["kind"], upload["content_type"], upload["exact"]) == (sample.kind, sample.media_type, True)
        assert upload["sha256"] == hashlib.sha256(sample.content).hexdigest()
        assert (upload["width"], upload["height"]) == ((4, 2) if extension == "exr" else (None, None))
        served = await content_of(gateway, answer)
        assert served.content == sample.content
        assert served.headers["content-disposition"].startswith(f'attachment; filename="{upload["id"]}.{extension}"')
        assert served.headers["x-content-type-options"] == "nosniff"
        assert served.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert (await post_bare(gateway, sample.content)).json()["id"] == upload["id"]
        other = await gateway.http.get(f"/api/v1/uploads/{upload['id']}/content", headers=BOB)
        assert other.status_code == 404
    assert len(files(gateway)) == len(samples())


async def test_large_file_is_streamed_and_an_incomplete_one_is_discarded(gateway: Gateway) -> None:
    large = wav(seconds=300)

    async def in_pieces(content: bytes) -> Any:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    answer = await post_bare(gateway, in_pieces(large), "audio/wav")
    assert (await content_of(gateway, answer)).content == large
    assert (await content_of(gateway, await post(gateway, large, "a.wav"))).content == large
    stl = binary_stl(triangles=2000)
    assert (await post_bare(gateway, in_pieces(stl))).json()["content_type"] == "model/stl"
    before = files(gateway)
    for other in (stl + b"\0", splat(count=2000) + b"\0"):
        answer = await post_bare(gateway, in_pieces(other))
        assert (answer.status_code, answer.json()["code"]) == (422, "upload.unsupported_image")
    answer = await post(gateway, exr(60_000, 60_000))
    assert (answer.status_code, answer.json()["code"]) == (422, "upload.too_many_pixels")
    assert files(gateway) == before


@pytest.mark.requirement("limit.upload_bytes")
async def test_tier_limits_the_file_size(gateway: Gateway, script: Script) -> None:
    largest, larger = wav(seconds=100), wav(seconds=101)
    image = encode_image(Image.effect_noise((2000, 1200), 90))
    assert len(image) > len(largest)
    await script.publish_change(
        script.auth.change(script.alice, limits=UNLIMITED.model_copy(update={"upload_bytes": len(largest)}))
    )

    async def limited() -> bool:
        return (await post(gateway, larger)).status_code == 413

    await until(limited)
    assert (await post(gateway, largest)).status_code == 201
    assert (await post(gateway, image)).status_code == 201, "images have a separate size limit"

    before = files(gateway)

    async def in_pieces() -> Any:
        for start in range(0, len(larger), 65_536):
            yield larger[start : start + 65_536]

    for answer in (await post_bare(gateway, larger), await post_bare(gateway, in_pieces())):
        assert (answer.status_code, answer.json()["code"]) == (413, "upload.file_too_large")
        assert str(len(largest)) in answer.json()["detail"]
    assert files(gateway) == before


async def test_png_is_kept_byte_exact_only_on_request(gateway: Gateway) -> None:
    deep = encode_image(Image.new("I;16", (8, 8), 40_001))
    made_anew, exact = await post(gateway, deep), await post(gateway, deep, exact="true")
    assert made_anew.json()["id"] != exact.json()["id"]
    assert (made_anew.json()["exact"], exact.json()["exact"]) == (False, True)
    assert (exact.json()["width"], exact.json()["height"]) == (8, 8)
    served = await content_of(gateway, exact)
    assert served.content == deep
    assert served.headers["content-disposition"].startswith("attachment")
    assert (await content_of(gateway, made_anew)).headers["content-disposition"].startswith("inline")
    assert (await post(gateway, deep, exact="true")).json()["id"] == exact.json()["id"]
    jpeg = await post(gateway, encode_image(NOISE, "JPEG"), exact="true")
    assert (jpeg.status_code, jpeg.json()["code"]) == (422, "upload.exact_unsupported")


async def test_photo_of_fifty_megapixels_is_accepted(gateway: Gateway) -> None:
    photo = {"file": ("a.jpg", encode_image(Image.new("RGB", (8192, 6144), (10, 90, 200)), "JPEG"), "image/jpeg")}
    answer = await gateway.http.post("/api/v1/upload", files=photo, headers=ALICE, timeout=60)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (8192, 6144)


@pytest.mark.parametrize(
    "damage",
    [b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff", b"garbage, garbage"],
    ids=["directory far away", "too many entries", "no TIFF"],
)
async def test_damaged_exif_is_removed(gateway: Gateway, damage: bytes) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a text that is long enough to be damaged"
    photo = bytearray(encode_image(NOISE, "JPEG", exif=exif))
    at = photo.index(b"Exif\0\0") + 6
    photo[at : at + len(damage)] = damage
    picture = await picture_of(gateway, bytes(photo))
    assert picture.size == NOISE.size
    assert not picture.getexif()


async def test_first_image_of_a_damaged_mpo_is_used(gateway: Gateway) -> None:
    photo = encode_image(NOISE, "MPO", save_all=True, append_images=[NOISE.rotate(5)])
    index = bytearray(photo)
    at = index.index(b"MPF\0") + 4
    index[at : at + 40] = b"\xff" * 40
    for damaged in (photo[: len(photo) * 3 // 4], bytes(index)):
        assert (await picture_of(gateway, damaged)).size == NOISE.size


@pytest.mark.parametrize("progressive", [False, True])
async def test_truncated_jpeg_is_accepted_and_decoded_as_far_as_it_goes(gateway: Gateway, progressive: bool) -> None:
    whole = encode_image(NOISE, "JPEG", quality=95, progressive=progressive)
    picture = await picture_of(gateway, whole[: len(whole) * 9 // 10])
    assert picture.size == NOISE.size
    assert picture.getextrema() != ((0, 0),) * 3
    broken = await post(gateway, encode_image(NOISE)[:2000])
    assert (broken.status_code, broken.json()["code"]) == (422, "upload.broken_image"), "a truncated PNG is refused"


async def test_bytes_between_the_segments_of_a_jpeg_are_skipped(gateway: Gateway) -> None:
    photo = encode_image(NOISE, "JPEG")
    at = 4 + int.from_bytes(photo[4:6], "big")
    assert (await picture_of(gateway, photo[:at] + b"\0\0junk" + photo[at:])).size == NOISE.size


async def test_exact_files_count_towards_the_upload_limit(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    assert script.alice
    app = create_app_with_long_timeouts(
        settings_for(nats_server.url, database_url, tmp_path, max_uploads_bytes=1 << 20)
    )
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        gateway = Gateway(http, f"http://{at}", tmp_path, nats_server.url)
        assert (await post(gateway, safetensors(width=512, height=512))).status_code == 201
        answer = await post(gateway, wav(seconds=70))
        assert (answer.status_code, answer.json()["code"]) == (413, "upload.quota_exceeded")
        assert len(files(gateway)) == 1
