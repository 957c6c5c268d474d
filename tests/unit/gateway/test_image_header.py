"""Decompression bombs are found without decoding the image."""

import zlib

import pytest

from gateway.images.formats import ImageFormat
from gateway.images.headers import MAX_CHUNKS, MAX_INFLATED_BYTES, HeaderProblem, ImageHeader, read_header
from tests.kit.images import chunk, flat_png, text_bomb

END = chunk(b"IEND", b"")
SMALL = ImageHeader(ImageFormat.PNG, 8, 8)


@pytest.mark.requirement("B-61")
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_metadata_bomb_is_found_before_decoding(kind: bytes) -> None:
    assert read_header(text_bomb(MAX_INFLATED_BYTES, kind), is_complete=True) == SMALL
    assert read_header(text_bomb(MAX_INFLATED_BYTES + 1, kind), is_complete=True) is HeaderProblem.BLOATED


@pytest.mark.requirement("B-61")
def test_many_small_compressed_chunks_count_together() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))
    assert read_header(flat_png(8, *[text] * 4), is_complete=True) == SMALL
    assert read_header(flat_png(8, *[text] * 5), is_complete=True) is HeaderProblem.BLOATED


@pytest.mark.requirement("B-61")
def test_compressed_bomb_after_the_pixels_is_found() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(MAX_INFLATED_BYTES + 1)))
    assert read_header(flat_png(8).removesuffix(END) + bomb + END, is_complete=True) is HeaderProblem.BLOATED


def test_uncompressed_png_text_counts_with_its_own_size() -> None:
    plain = chunk(b"iTXt", b"a\0\0\0en\0a\0" + zlib.compress(bytes(MAX_INFLATED_BYTES + 1)))
    broken = chunk(b"zTXt", b"a\0\0" + b"no stream of zlib's")
    assert read_header(flat_png(8, plain, broken, chunk(b"zTXt", b"")), is_complete=True) == SMALL


@pytest.mark.requirement("B-61")
def test_endless_png_chunks_are_refused() -> None:
    assert read_header(flat_png(8, *[chunk(b"tEXt", b"")] * MAX_CHUNKS), is_complete=True) is HeaderProblem.UNSUPPORTED
