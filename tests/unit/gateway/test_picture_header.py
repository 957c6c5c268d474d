"""What is found out about a picture before anything is decoded."""

import zlib

import pytest

from gateway.images.formats import PictureFormat
from gateway.images.headers import INFLATED_BYTES, MAX_CHUNKS, PictureHeader, Unfit, read_header
from tests.kit.pictures import chunk, flat_png, text_bomb

END = chunk(b"IEND", b"")
SMALL = PictureHeader(PictureFormat.PNG, 8, 8)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_b_61_what_is_packed_small_is_found_before_anything_is_started(kind: bytes) -> None:
    assert read_header(text_bomb(INFLATED_BYTES, kind), whole=True) == SMALL
    assert read_header(text_bomb(INFLATED_BYTES + 1, kind), whole=True) is Unfit.BLOATED


def test_b_61_many_small_ones_are_as_bad_as_a_large_one() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))
    assert read_header(flat_png(8, *[text] * 4), whole=True) == SMALL
    assert read_header(flat_png(8, *[text] * 5), whole=True) is Unfit.BLOATED


def test_b_61_it_may_stand_behind_the_pixels() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(INFLATED_BYTES + 1)))
    assert read_header(flat_png(8).removesuffix(END) + bomb + END, whole=True) is Unfit.BLOATED


def test_a_text_that_is_not_packed_is_as_large_as_it_is() -> None:
    plain = chunk(b"iTXt", b"a\0\0\0en\0a\0" + zlib.compress(bytes(INFLATED_BYTES + 1)))
    broken = chunk(b"zTXt", b"a\0\0" + b"no stream of zlib's")
    assert read_header(flat_png(8, plain, broken, chunk(b"zTXt", b"")), whole=True) == SMALL


def test_b_61_chunks_without_end_are_refused() -> None:
    assert read_header(flat_png(8, *[chunk(b"tEXt", b"")] * MAX_CHUNKS), whole=True) is Unfit.UNSUPPORTED
