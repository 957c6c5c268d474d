"""The helper process that converts one image, run as the gateway runs it, with hostile images."""

import os
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms

from gateway.images.converter import CONVERTER_ARGUMENTS
from gateway.images.formats import ConversionOptions, ExitStatus, ImageFormat, detect_format
from gateway.storage.file_names import MAX_BYTES, UniqueFileNames, make_safe_name

PIXELS = 4096 * 4096
FORMATS = [format_.value for format_ in ImageFormat]
MEASURE = """
import os, subprocess, sys
helper = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
_, status, used = os.wait4(helper.pid, 0)
print(used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""  # An intermediate process, because the peak memory of a child includes that of its parent at the fork.
RED, BLUE = (255, 0, 0), (0, 0, 255)


def run(
    source: bytes, wanted: str = "png", *, quality: int = 90, box: tuple[int, int] = (0, 0)
) -> tuple[int, bytes, int]:
    """Run the helper; return its exit status, its output, and its peak memory in KiB."""
    bounds = (0, PIXELS, 96 << 20, 1 << 30, 20)
    command = [
        sys.executable,
        "-I",
        "-c",
        MEASURE,
        sys.executable,
        *CONVERTER_ARGUMENTS,
        wanted,
        *map(str, (quality, *box, *bounds)),
    ]
    ended = subprocess.run(command, input=source, capture_output=True, env={}, check=False)
    return ended.returncode, ended.stdout, int(ended.stderr.split()[-1])


def converted(source: bytes, wanted: str = "png", **more: Any) -> Any:
    status, result, _ = run(source, wanted, **more)
    assert status == ExitStatus.CONVERTED
    assert detect_format(result) == wanted
    picture = Image.open(BytesIO(result))
    picture.load()
    assert not picture.getexif()
    assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression",
                                 "loop", "background", "timestamp", "duration"}  # fmt: skip
    return picture


def encode_image(picture: Image.Image, format_: str = "png", **more: Any) -> bytes:
    sink = BytesIO()
    picture.save(sink, format_, **more)
    return sink.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


def halves(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Return an image that is red on the left and blue on the right."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    return picture


def near(one: Any, other: tuple[int, ...], by: int = 12) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_every_image_format_converts_to_every_other(source: str, wanted: str) -> None:
    picture = converted(encode_image(halves(), source), wanted)
    assert picture.size == (64, 32)
    assert near(picture.convert("RGB").getpixel((4, 16)), RED)
    assert near(picture.convert("RGB").getpixel((60, 16)), BLUE)


@pytest.mark.parametrize(
    ("box", "size"),
    [((16, 0), (16, 8)), ((0, 16), (32, 16)), ((20, 4), (8, 4)), ((4000, 4000), (64, 32)), ((1, 1), (1, 1))],
)
@pytest.mark.parametrize("source", FORMATS)
def test_converted_image_fits_the_box_and_is_never_enlarged(
    source: str, box: tuple[int, int], size: tuple[int, int]
) -> None:
    assert converted(encode_image(halves(), source), "webp", box=box).size == size


def test_alpha_is_flattened_on_white_for_jpeg_only() -> None:
    clear = encode_image(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    assert near(converted(clear, "jpeg").getpixel((4, 4)), (255, 255, 255), by=2)
    for wanted in ("png", "webp"):
        kept = converted(clear, wanted)
        assert kept.mode == "RGBA"
        assert kept.getchannel("A").getextrema() == (0, 0)


def test_palette_transparency_is_kept() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 4, 8))
    kept = converted(encode_image(picture, transparency=0))
    assert kept.getpixel((1, 1))[3] == 0
    assert kept.getpixel((6, 1)) == (255, 0, 0, 255)


def test_16_bit_grayscale_is_scaled_to_8_bit() -> None:
    picture = Image.new("I;16", (2, 1))
    picture.putpixel((0, 0), 0x8000)
    picture.putpixel((1, 0), 0xFFFF)
    kept = converted(encode_image(picture))
    assert near(kept.getpixel((0, 0)), (128, 128, 128), by=1)
    assert kept.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("source", ["jpeg", "webp", "png"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_applied(source: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a secret description"
    kept = converted(encode_image(halves(), source, exif=exif), "png").convert("RGB")
    assert kept.size == ((64, 32) if orientation == 3 else (32, 64))
    first = {3: BLUE, 6: RED, 8: BLUE}[orientation]
    assert near(kept.getpixel((2, 2)), first)
    small = converted(encode_image(halves((640, 320)), source, exif=exif), "webp", box=(64, 64))
    assert max(small.size) == 64


def test_animated_image_converts_to_its_first_frame_and_gif_is_refused() -> None:
    frames = [Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)]
    for source in ("webp", "png"):
        moving = encode_image(frames[0], source, save_all=True, append_images=frames[1:], duration=50)
        still = converted(moving, "webp")
        assert getattr(still, "n_frames", 1) == 1
        assert near(still.convert("RGB").getpixel((4, 4)), RED)
    assert run(encode_image(frames[0], "gif"))[0] == ExitStatus.NOT_CONVERTIBLE


def test_colors_are_converted_to_srgb_and_a_broken_profile_is_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(converted(encode_image(halves(), "jpeg", icc_profile=profile)).getpixel((4, 4)), RED)
    assert near(converted(encode_image(halves(), "jpeg", icc_profile=b"none" * 99)).getpixel((4, 4)), RED)
    assert near(converted(encode_image(Image.new("CMYK", (8, 8)), "jpeg")).getpixel((4, 4)), (255, 255, 255))


def test_converted_polyglot_file_contains_only_pixels() -> None:
    html = b"<html><script>alert(1)</script></html>"
    source = encode_image(halves())
    hidden = (
        source[:33]
        + chunk(b"tEXt", b"Comment\0" + html)
        + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + html)
        + source[33:]
        + html
    )
    jpeg = encode_image(halves(), "jpeg", comment=html, xmp=html) + html
    for wanted in FORMATS:
        for one in (hidden, jpeg):
            status, result, _ = run(one, wanted)
            assert status == ExitStatus.CONVERTED
            assert b"script" not in result


BOMBS = {
    "57 bytes": png(60_000, 60_000, chunk(b"IDAT", b"")),
    "flat": png(13_000, 13_000, chunk(b"IDAT", zlib.compress(bytes(13_001 * 13_000), 9)), chunk(b"IEND", b"")),
    "jpeg": encode_image(halves(), "jpeg").replace(struct.pack(">HH", 32, 64), struct.pack(">HH", 60_000, 60_000), 1),
    "webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\x3f\0\xff\x3f\0" + b"VP8 \0\0\0\0",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_decompression_bomb_is_refused_by_its_header(bomb: str) -> None:
    assert len(BOMBS[bomb]) < 1 << 20
    innocent = run(encode_image(halves()))[2]
    status, result, peak = run(BOMBS[bomb])
    assert (status, result) == (ExitStatus.TOO_MANY_PIXELS, b"")
    assert peak - innocent < 16 << 10


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("source", FORMATS)
def test_truncated_image_is_refused(source: str, part: float) -> None:
    whole = encode_image(halves((200, 200)), source)
    assert run(whole[: int(len(whole) * part)])[0] == ExitStatus.NOT_CONVERTIBLE


def test_image_with_an_inflating_text_chunk_is_refused() -> None:
    source, inflating = encode_image(halves()), zlib.compress(bytes(64 << 20))
    status, _, peak = run(source[:33] + chunk(b"zTXt", b"a\0\0" + inflating) + source[33:])
    assert status == ExitStatus.NOT_CONVERTIBLE
    assert peak < 128 << 10


def test_largest_accepted_image_is_converted_within_the_memory_limit() -> None:
    noise = Image.frombytes("RGB", (4096, 4096), os.urandom(PIXELS * 3))
    noise.putalpha(200)
    assert run(encode_image(noise, compress_level=0), "jpeg", box=(512, 512))[0] == ExitStatus.CONVERTED


def test_etag_depends_on_source_and_conversion() -> None:
    made = {
        ConversionOptions(ImageFormat.WEBP, quality, side).compute_etag(sha, "13")
        for quality in (1, 2)
        for side in (None, 5)
        for sha in "ab"
    }
    assert len(made) == 8
    assert ConversionOptions(ImageFormat.PNG, 5).compute_etag("a", "13") == ConversionOptions(
        ImageFormat.PNG, 6
    ).compute_etag("a", "13")


def test_archive_file_names_are_safe_and_unique() -> None:
    names = UniqueFileNames()
    asked = [
        "a/b/c.png",
        "../../etc/c.PNG",
        "C:\\x\\con.png",
        "..",
        "",
        ".hidden",
        "a\x00\n\u202eb.png",
        "x" * 500 + ".png",
        "é.png",
        "e\u0301.png",
        "x" * 499 + "y.png",
    ]
    given = [names.make_unique(name) for name in asked]
    assert given[:7] == ["c.png", "c-2.PNG", "_con.png", "output", "output-2", "hidden", "a___b.png"]
    assert len({name.casefold() for name in given}) == len(asked)
    assert all(0 < len(name.encode()) <= MAX_BYTES and name.isprintable() and "/" not in name for name in given)
    assert given[8:10] == ["é.png", "e\u0301-2.png"]


@pytest.mark.parametrize(
    ("asked", "safe"),
    [
        ("a cat... at night_00001_.png", "a cat... at night_00001_.png"),
        ("日本語_Файл_00001_.png", "日本語_Файл_00001_.png"),
        ("%date:yyyy-MM-dd%_00001_.png", "%date_yyyy-MM-dd%_00001_.png"),
        ("x" * 200 + "_00001_.png", "x" * 200 + "_00001_.png"),
        ("語" * 200 + ".png", "語" * 75 + ".png"),
        ("..", "output"),
        ('a"\r\nb.png', "a___b.png"),
    ],
)
def test_download_name_keeps_portable_characters(asked: str, safe: str) -> None:
    assert make_safe_name(asked) == safe
