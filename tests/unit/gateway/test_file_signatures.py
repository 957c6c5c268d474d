"""File types are detected from the first bytes."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from gateway.storage.file_extensions import find_extension
from gateway.uploads.file_signatures import SIGNATURE_BYTES, detect_file_type, may_be_recognized_by_size, read_exr_size
from tests.kit.images import encode_image
from tests.kit.media import binary_stl, exr, obj, samples, splat

UNMARKED = {"stl", "splat"}
SMALL = Image.new("RGB", (8, 8))


@pytest.mark.parametrize("extension", samples())
def test_each_file_type_is_detected_by_content(extension: str) -> None:
    sample = samples()[extension]
    found = detect_file_type(sample.content[:SIGNATURE_BYTES], len(sample.content))
    assert found is not None
    assert (found.media_type, found.kind, found.extension) == (sample.media_type, sample.kind, f".{extension}")


@pytest.mark.parametrize("extension", sorted(samples().keys() - UNMARKED - {"obj"}))
def test_file_type_with_a_signature_is_detected_from_the_first_bytes(extension: str) -> None:
    sample = samples()[extension]
    found = detect_file_type(sample.content[:SIGNATURE_BYTES], None)
    assert found is not None
    assert found.media_type == sample.media_type


def test_text_formats_are_detected_by_their_first_lines() -> None:
    long = obj() * 200
    found = detect_file_type(long[:SIGNATURE_BYTES], None)
    assert found is not None
    assert found.media_type == "model/obj"
    broken = long[:1000] + b"once upon a time\n" + long[1000:]
    assert detect_file_type(broken[:SIGNATURE_BYTES], None) is None


def test_file_type_without_signature_is_detected_by_total_size() -> None:
    for whole in (binary_stl(100), splat(200)):
        begun = whole[:SIGNATURE_BYTES]
        assert detect_file_type(begun, None) is None
        assert may_be_recognized_by_size(begun, 1 << 20)
        assert detect_file_type(begun, len(whole)) is not None
        assert detect_file_type(begun, len(whole) + 1) is None
    assert not may_be_recognized_by_size(binary_stl(100)[:SIGNATURE_BYTES], max_bytes=5083)
    assert may_be_recognized_by_size(binary_stl(100)[:SIGNATURE_BYTES], max_bytes=5084)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        bytes(4096),
        b"not a file of ours at all " * 64,
        b"0123456789abcdef" * 8,
        b"<!doctype html><script>alert(1)</script>" + bytes(40),
        b'{"prompt": {"1": {"class_type": "SaveImage"}}}' * 10,
        b"PK\x03\x04" + bytes(100),
        b"\x1f\x8b\x08" + bytes(100),
        b"MZ" + bytes(200),
        b"\x7fELF" + bytes(200),
        b"\0\0\0\x1cftypavif" + bytes(100),
        b"\0\0\0\x1cftypheic" + bytes(100),
        b"RIFF\0\0\0\0WAVE" + bytes(100),
        b"OggS" + bytes(100),
        b"\xff\xfb\x90\x00" + bytes(4000),
        "\ufeffa text".encode("utf-16") * 100,
        struct.pack("<Q", 1 << 40) + b'{"a": 1}' + bytes(100),
        encode_image(SMALL, "GIF"),
        encode_image(SMALL, "BMP"),
        encode_image(SMALL, "TIFF"),
    ],
)
def test_unknown_file_type_is_not_recognized(content: bytes) -> None:
    assert detect_file_type(content[:SIGNATURE_BYTES], len(content)) is None


def test_exr_size_is_read_from_its_header() -> None:
    assert read_exr_size(exr(300, 20)) == (300, 20)
    assert read_exr_size(exr(0, 20)) is None
    assert read_exr_size(b"\x76\x2f\x31\x01" + bytes(100)) is None


def test_ordinary_image_is_not_detected_as_another_file_type() -> None:
    for format_ in ("PNG", "JPEG", "WEBP"):
        sink = BytesIO()
        SMALL.save(sink, format_)
        assert detect_file_type(sink.getvalue(), len(sink.getvalue())) is None


def test_outputs_of_every_type_have_a_file_extension() -> None:
    assert find_extension("text/plain; charset=utf-8") == ".txt"
    assert find_extension("image/gif") == ".gif"
    assert find_extension("application/octet-stream") == ".bin"
