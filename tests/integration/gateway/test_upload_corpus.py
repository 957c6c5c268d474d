"""Hostile and unusual uploads to the real gateway, one test per row of the table in the reliability reference."""

import asyncio
import re
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tests.integration.gateway.conftest import ALICE, BOB, Gateway, stored_files
from tests.integration.gateway.test_uploads import post, some_png
from tests.kit.images import bombs, chunk, encode_image, flat_png, jpeg_header, png, text_bomb, webp_header
from tests.kit.waiting import until

pytestmark = pytest.mark.shares_gateway

MAX_BYTES = 32 << 20
CANARY = b"canary-7f3a"
SMALL = Image.new("RGB", (8, 8), (200, 30, 40))
FRAMES = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 250)]


async def refused(gateway: Gateway, content: bytes) -> tuple[int, str]:
    answer = await post(gateway, content)
    return answer.status_code, answer.json()["code"]


async def kept(gateway: Gateway, sent: bytes) -> tuple[bytes, httpx.Response]:
    """Upload a file. Return its content as stored, and the response that contained it."""
    answer = await post(gateway, sent)
    assert answer.status_code in {200, 201}, answer.text
    content = await gateway.http.get(f"/api/v1/uploads/{answer.json()['id']}/content", headers=ALICE)
    return content.content, content


async def picture_of(gateway: Gateway, sent: bytes) -> Any:
    picture = Image.open(BytesIO((await kept(gateway, sent))[0]))
    picture.load()
    return picture


def files(gateway: Gateway) -> set[Path]:
    return set(stored_files(gateway.folder))


@pytest.mark.requirement("B-60")
async def test_only_complete_still_png_jpeg_and_webp_images_are_accepted(gateway: Gateway) -> None:
    unsupported = {
        "nothing": b"",
        "one byte": b"\x89",
        "text": b"not a picture at all " * 10,
        "gif": encode_image(SMALL, "GIF"),
        "gif of 10,000 frames": encode_image(SMALL, "GIF")[:-1] + b"!\xf9\x04\0\0\0\0\0," * 10_000,
        "bmp": encode_image(SMALL, "BMP"),
        "tiff": encode_image(SMALL, "TIFF"),
        "ico": encode_image(SMALL, "ICO"),
        "icns": b"icns" + bytes(100),
        "psd": b"8BPS\0\1" + bytes(100),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(100),
        "fits": b"SIMPLE  =                    T" + bytes(100),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>' + bytes(40),
        "html": b"<!doctype html><script>alert(1)</script>" + bytes(40),
        "a png's first bytes": png(8, 8),
        "a png of no pixels": png(8, 8, chunk(b"IEND", b"")),
        "no pixels wide": png(0, 8, chunk(b"IDAT", b"")),
        "a jpeg that never says": b"\xff\xd8" + b"\xff\xe1\0\2" * 50_000,
        "a riff that is none": b"RIFF\0\0\0\0WAVE" + bytes(100),
    }
    for name, content in unsupported.items():
        assert await refused(gateway, content) == (422, "upload.unsupported_image"), name
    animated = {
        "apng": encode_image(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
        "webp": encode_image(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
        "webp header": webp_header(8, 8, flags=2),
    }
    for name, content in animated.items():
        assert await refused(gateway, content) == (422, "upload.animated_image"), name
    whole = encode_image(Image.effect_noise((256, 256), 90))
    broken = {"half": whole[: len(whole) // 2], "jpeg header": jpeg_header(8, 8), "webp header": webp_header(8, 8)}
    for name, content in broken.items():
        assert await refused(gateway, content) == (422, "upload.broken_image"), name
    assert not files(gateway)


@pytest.mark.requirement("B-60")
async def test_image_of_the_maximum_size_is_accepted_and_one_byte_more_refused(gateway: Gateway) -> None:
    filling = MAX_BYTES - len(flat_png(8, chunk(b"prVt", b"")))
    largest = flat_png(8, chunk(b"prVt", bytes(filling)))
    assert len(largest) == MAX_BYTES
    assert (await post(gateway, largest)).status_code == 201
    raw = {**ALICE, "Content-Type": "image/png"}

    async def in_pieces() -> Any:
        yield largest
        yield b"\0"

    for body in (largest + b"\0", in_pieces()):
        answer = await gateway.http.post("/api/v1/upload", content=body, headers=raw)
        assert (answer.status_code, answer.json()["code"]) == (413, "upload.too_large")
    assert await refused(gateway, largest + b"\0") == (413, "upload.too_large")


@pytest.mark.requirement("B-60")
async def test_upload_type_is_decided_by_content_not_by_name_or_content_type(gateway: Gateway) -> None:
    sent = {"file": ("holiday.gif", encode_image(SMALL, "WEBP"), "text/html")}
    answer = await gateway.http.post("/api/v1/upload", files=sent, headers=ALICE)
    assert (answer.status_code, answer.json()["content_type"]) == (201, "image/png")
    other = await gateway.http.post(
        "/api/v1/upload", content=some_png(), headers={**ALICE, "Content-Type": "image/gif"}
    )
    assert (other.status_code, other.json()["code"]) == (415, "request.unsupported_media_type")


@pytest.mark.requirement("B-61")
async def test_decompression_bomb_is_refused_by_its_header(gateway: Gateway) -> None:
    files_of_bombs = bombs()
    assert len(files_of_bombs["13000 x 13000 PNG, black"]) < 700 << 10
    assert len(files_of_bombs["60000 x 60000 PNG, empty"]) == 57
    for name, content in files_of_bombs.items():
        assert await refused(gateway, content) == (422, "upload.too_many_pixels"), name
    deep = flat_png(9_400, chunk(b"tEXt", bytes(1 << 20)))  # refused by the size in its header, before the text
    assert await refused(gateway, deep) == (422, "upload.too_many_pixels")
    late = b"\xff\xd8" + (b"\xff\xe2" + b"\xff\xff" + bytes(65_533)) * 40 + jpeg_header(65_500, 65_500)[2:]
    assert await refused(gateway, late) == (422, "upload.too_many_pixels")
    assert await refused(gateway, text_bomb(200_000_000)) == (422, "upload.broken_image")
    assert not files(gateway)


@pytest.mark.requirement("B-61")
async def test_unusual_image_is_converted_to_a_plain_one(gateway: Gateway) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    odd = {
        "10,000 chunks of pixels": flat_png(2048, parts=10_000),
        "16 bits": encode_image(Image.new("I;16", (8, 8), 40_000)),
        "1 bit": encode_image(Image.new("1", (8, 8))),
        "cmyk": encode_image(SMALL.convert("CMYK"), "JPEG"),
        "huge exif": encode_image(SMALL, "JPEG", exif=exif),
        "huge profile": encode_image(SMALL, "PNG", icc_profile=profile + bytes(1_000_000)),
    }
    for name, content in odd.items():
        picture = await picture_of(gateway, content)
        assert picture.mode == "RGB", name
    assert (await picture_of(gateway, odd["16 bits"])).getpixel((0, 0)) == (156, 156, 156)


@pytest.mark.requirement("B-62")
async def test_polyglot_upload_keeps_only_its_pixels(gateway: Gateway) -> None:
    script = b"<script>/*" + CANARY + b"*/alert(1)</script><?php system($_GET['c']); ?>"
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", script.decode("latin-1"))
    zipped = b"PK\x03\x04" + CANARY + b"PK\x05\x06" + bytes(18)
    polyglots = {
        "png and html": encode_image(SMALL) + script,
        "png and zip": encode_image(SMALL) + zipped,
        "png and php": encode_image(SMALL, pnginfo=comment),
        "jpeg and js": encode_image(SMALL, "JPEG", comment=script),
        "webp and html": encode_image(SMALL, "WEBP", lossless=True) + script,
    }
    for name, content in polyglots.items():
        assert CANARY in content
        left, answer = await kept(gateway, content)
        assert CANARY not in left, name
        assert b"PK\x03\x04" not in left
        assert answer.headers["content-type"] in {"image/png", "image/jpeg"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.requirement("B-63")
async def test_metadata_is_stripped_and_orientation_applied(gateway: Gateway) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise for display
    exif[0x010E] = CANARY.decode()
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    workflow = PngImagePlugin.PngInfo()
    workflow.add_text("prompt", '{"1": "' + CANARY.decode() + '"}')
    workflow.add_itxt("XML:com.adobe.xmp", CANARY.decode(), zip=True)
    halves = Image.new("RGB", (64, 32), (255, 0, 0))
    halves.paste((0, 0, 255), (32, 0, 64, 32))
    c2pa = b"\xff\xeb" + (2 + len(CANARY)).to_bytes(2, "big") + CANARY
    jpeg = encode_image(halves, "JPEG", exif=exif, xmp=b"<x:xmpmeta>" + CANARY, quality=95)
    for sent in (
        jpeg[:2] + c2pa + jpeg[2:],
        encode_image(halves, "PNG", exif=exif, pnginfo=workflow),
        encode_image(halves, "WEBP", exif=exif, xmp=CANARY, lossless=True),
    ):
        left, _ = await kept(gateway, sent)
        picture: Any = Image.open(BytesIO(left))
        assert CANARY not in left
        assert picture.size == (32, 64)
        assert not picture.getexif()
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
        top, bottom = (picture.convert("RGB").getpixel((16, y)) for y in (8, 56))
        assert top[0] > 240
        assert bottom[2] > 240


@pytest.mark.requirement("B-63")
@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
async def test_mask_in_the_alpha_channel_is_kept_bit_for_bit(gateway: Gateway, format_: str) -> None:
    mask = Image.merge("RGBA", [Image.effect_noise((33, 17), 90) for _ in range(4)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more = {"lossless": True, "exact": True} if format_ == "WEBP" else {"icc_profile": profile}
    picture = await picture_of(gateway, encode_image(mask, format_, **more))
    assert (picture.mode, picture.tobytes()) == ("RGBA", mask.tobytes())


@pytest.mark.requirement("B-64")
async def test_upload_file_name_is_neither_stored_nor_shown(gateway: Gateway) -> None:
    marked = "zzmark"
    names = [
        "../../../etc/" + marked, "..\\..\\" + marked, marked + "\u202egnp.exe", "CON." + marked, "😀" + marked,
        marked * 700, f'"; {marked}="', marked + "%0d%0aX-Evil: 1", "",
    ]  # fmt: skip
    for name in names:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n' % name.encode()
        body += some_png() + b"\r\n--b--\r\n"
        answer = await form(gateway, body)
        assert answer.status_code == (201 if len(name) < 2000 else 400), (name, answer.text)
        assert marked not in answer.text + str(answer.headers)
    assert all(re.fullmatch(r"[0-9a-f-]{36}", path.name) for path in files(gateway))
    assert {path.parent.name for path in files(gateway)} == {"uploads"}
    split = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\r\nX-Evil: 1\0"\r\n\r\n' + some_png()
    answer = await form(gateway, split + b"\r\n--b--\r\n")
    assert answer.status_code == 201
    assert "x-evil" not in answer.headers


async def form(gateway: Gateway, body: Any, content_type: str = "multipart/form-data; boundary=b") -> httpx.Response:
    headers = {**ALICE, "Content-Type": content_type}
    return await gateway.http.post("/api/v1/upload", content=body, headers=headers)


HEAD = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
PART = b"--b\r\n" + HEAD + b"\r\n"


@pytest.mark.requirement("B-65")
async def test_form_without_exactly_one_file_is_refused_early(gateway: Gateway) -> None:
    picture = some_png()
    malformed = {
        "form_unfinished": PART + picture,
        "form_empty": b"--b--\r\n",
        "form_malformed": b"x--b\r\n" + HEAD,
        "form_preamble": b"\r\n" + b"x" * 100_000,
        "form_no_file": b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(1 << 20),
        "form_parts": b'--b\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\n1' + bytes(1 << 20),
        "form_repeated_header": b"--b\r\n" + HEAD + HEAD + b"\r\n" + picture + b"\r\n--b--\r\n",
        "form_encoded": b"--b\r\n" + HEAD + b"Content-Transfer-Encoding: base64\r\n\r\naGk=\r\n--b--\r\n",
    }
    for code, body in malformed.items():
        answer = await form(gateway, body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    more = {
        "10,000 parts": (PART + picture + b"\r\n") * 10_000,
        "two files": PART + picture + b"\r\n" + PART + picture + b"\r\n--b--\r\n",
        "a part header of 1 MiB": b"--b\r\nX: " + b"x" * (1 << 20),
        "a header name of 1 MiB": b"--b\r\n" + b"x" * (1 << 20),
        "100 headers": b"--b\r\n" + b"X: y\r\n" * 100 + HEAD + b"\r\n",
        "a form in a form": b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + HEAD,
    }
    for name, body in more.items():
        answer = await form(gateway, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "request.malformed"), name
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=ä"):
        assert (await form(gateway, PART, content_type.encode())).status_code == 400  # type: ignore[arg-type]
    long = f"multipart/form-data; boundary={'b' * 71}"
    assert (await form(gateway, PART, long)).json()["errors"][0]["code"] == "form_boundary"
    assert (await form(gateway, PART, "multipart/mixed; boundary=b")).status_code == 415
    assert not files(gateway)


@pytest.mark.requirement("B-65")
async def test_oversized_form_is_refused_before_it_is_received(gateway: Gateway) -> None:
    """The response arrives when only the beginning of a body too large to accept has been sent."""
    for begin in (b"\r\n", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'):
        reader, writer = await connect(gateway, "multipart/form-data; boundary=b", begin + b"x" * 4096)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), timeout=30)
        writer.close()
        assert head.split()[1] in {b"400", b"413"}
    reader, writer = await connect(gateway, "image/png", b"", length=MAX_BYTES + 1)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), timeout=30)).split()[1] == b"413"
    writer.close()


async def connect(
    gateway: Gateway, content_type: str, begin: bytes, *, length: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request with only the beginning of its body: chunked, unless a length is given."""
    at = urlsplit(gateway.origin)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
    head = (
        f"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nX-API-Key: alice-key\r\nContent-Type: {content_type}\r\n{framing}"
    )
    body = begin if length else b"%x\r\n%s\r\n" % (len(begin), begin)
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return reader, writer


@pytest.mark.requirement("B-66")
async def test_aborted_upload_leaves_nothing_and_frees_its_memory(gateway: Gateway) -> None:
    sent = encode_image(Image.effect_noise((1024, 1024), 90))
    for _ in range(80):  # 80 x 1 MiB exceeds the memory share of one client
        _, writer = await connect(gateway, "image/png", sent[: len(sent) * 99 // 100], length=len(sent))
        writer.close()
        await writer.wait_closed()

    async def taken() -> bool:
        return (await post(gateway, some_png())).status_code == 201

    await until(taken)
    await until(lambda: len(files(gateway)) == 1)
    listed = (await gateway.http.get("/api/v1/uploads", params={"limit": 1}, headers=ALICE)).json()["uploads"]
    assert {path.name for path in files(gateway)} == {listed[0]["id"]}


async def test_concurrent_maximum_size_uploads_succeed_or_are_told_to_retry(gateway: Gateway) -> None:
    filling = MAX_BYTES - len(flat_png(8, chunk(b"prVt", b"")))
    bodies = [flat_png(8, chunk(b"prVt", number.to_bytes(4, "big") + bytes(filling - 4))) for number in range(6)]
    raw = {**BOB, "Content-Type": "image/png"}
    answers = await asyncio.gather(
        *(gateway.http.post("/api/v1/upload", content=body, headers=raw, timeout=60) for body in bodies)
    )
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 429}
    assert 201 in statuses
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert {path.name for path in files(gateway)} == ids
