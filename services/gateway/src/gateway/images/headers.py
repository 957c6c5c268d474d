"""Reads the size of an image from its header, without decoding it and without a helper process.

A file of 57 bytes can claim 60,000 x 60,000 pixels, one of 642 KiB can hold 13,000 x 13,000, and one of 190 KiB a text
of 200 MB. Reading a few numbers and inflating a few megabytes detects them all. The number of chunks and segments that
are skipped on the way (metadata, colour profiles) is limited.
"""

import zlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from gateway.images.formats import ImageFormat, detect_format

MAX_CHUNKS = 20_000  # chunks of a PNG, segments of a JPEG. Cameras write some dozens, PNG encoders one per 8 KiB
MAX_INFLATED_BYTES = 4 << 20  # all compressed texts and the profile of a PNG; Pillow reads at most 1 MiB of each

_MIN_HEADER_BYTES = 33  # enough for the format, and for the size of a PNG or WebP
_MARKERS_WITHOUT_LENGTH = {0x01, 0xD8, *range(0xD0, 0xD8)}  # JPEG markers without a length: TEM, SOI, RST
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF: all but DHT, JPG, DAC
_SCAN, _END = 0xDA, 0xD9
_WEBP_ANIMATED = 0x02
_COMPRESSED_CHUNKS = {b"zTXt", b"iTXt", b"iCCP"}


class HeaderProblem(Enum):
    """The reason to refuse a file."""

    UNSUPPORTED = auto()  # not a PNG, JPEG or WebP, or without a valid size
    ANIMATED = auto()
    BLOATED = auto()  # its metadata inflates to far more than an image needs


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The format and size of an image; sides are in pixels, at least 1."""

    format: ImageFormat
    width: int
    height: int


Size: TypeAlias = tuple[int, int]


def read_header(prefix: bytes | bytearray, *, is_complete: bool) -> ImageHeader | HeaderProblem | None:
    """Return the header of a file that begins with these bytes; None if more bytes are needed.

    Args:
        prefix: the first bytes.
        is_complete: whether these are all bytes; then the result is never None. Animated and bloated PNGs are detected
            only then.
    """
    if len(prefix) < _MIN_HEADER_BYTES:
        return HeaderProblem.UNSUPPORTED if is_complete else None
    format_, size = detect_format(bytes(prefix[:12])), None
    match format_:
        case None:
            return HeaderProblem.UNSUPPORTED
        case ImageFormat.PNG:
            size = _read_png_size(prefix, is_complete=is_complete)
        case ImageFormat.JPEG:
            size = _read_jpeg_size(prefix)
        case ImageFormat.WEBP:
            size = HeaderProblem.ANIMATED if _is_animated_webp(prefix) else read_webp_size(prefix)
    if isinstance(size, tuple):
        return ImageHeader(format_, *size) if all(size) else HeaderProblem.UNSUPPORTED
    return size or (HeaderProblem.UNSUPPORTED if is_complete else None)


def read_webp_size(prefix: bytes | bytearray) -> Size | HeaderProblem:
    """Return width and height of the canvas of a WebP, from its first 30 bytes.

    Pillow allocates the canvas when it opens such a file, before its size can be checked.
    """
    kind, head = prefix[12:16], prefix[20:30]
    if len(head) < 10:
        return HeaderProblem.UNSUPPORTED
    if kind == b"VP8X":
        return _decode_little_endian(head[4:7]) + 1, _decode_little_endian(head[7:10]) + 1
    if kind == b"VP8L":
        bits = _decode_little_endian(head[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _decode_little_endian(head[6:8]) & 0x3FFF, _decode_little_endian(head[8:10]) & 0x3FFF
    return HeaderProblem.UNSUPPORTED


def _is_animated_webp(webp: bytes | bytearray) -> bool:
    return webp[12:16] == b"VP8X" and bool(webp[20] & _WEBP_ANIMATED)


def _read_png_size(prefix: bytes | bytearray, *, is_complete: bool) -> Size | HeaderProblem:
    if prefix[8:16] != b"\0\0\0\rIHDR":
        return HeaderProblem.UNSUPPORTED
    problem = _find_png_problem(prefix) if is_complete else None
    return problem or (_decode_big_endian(prefix[16:20]), _decode_big_endian(prefix[20:24]))


def _find_png_problem(png: bytes | bytearray) -> HeaderProblem | None:
    """Return a problem if the chunks of a complete PNG have an animation, or texts that inflate to too many bytes."""
    position, has_pixels, left = 33, False, MAX_INFLATED_BYTES
    for _ in range(MAX_CHUNKS):
        length, kind = _decode_big_endian(png[position : position + 4]), bytes(png[position + 4 : position + 8])
        if len(kind) < 4:
            return None if has_pixels else HeaderProblem.UNSUPPORTED
        if kind == b"acTL" and not has_pixels:
            return HeaderProblem.ANIMATED
        if kind in _COMPRESSED_CHUNKS:
            left -= _count_inflated_bytes(kind, bytes(png[position + 8 : position + 8 + length]), left)
            if left < 0:
                return HeaderProblem.BLOATED
        has_pixels = has_pixels or kind == b"IDAT"
        position += 12 + length
    return HeaderProblem.UNSUPPORTED


def _count_inflated_bytes(kind: bytes, content: bytes, limit: int) -> int:
    """Return the inflated size of the text or profile in a chunk; more than ``limit`` if it is above that."""
    _, _, rest = content.partition(b"\0")
    compressed = rest[1:]  # after the method
    if kind == b"iTXt":  # flag, method, language, translated keyword, text
        compressed = rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""
    try:
        return len(zlib.decompressobj().decompress(compressed, limit + 1))
    except zlib.error:
        return 0  # the decoder decides whether this is an error


def _read_jpeg_size(prefix: bytes | bytearray) -> Size | HeaderProblem | None:
    position = 2
    for _ in range(MAX_CHUNKS):
        head = prefix[position : position + 9]
        if len(head) < 9:
            return None
        marker = head[1]
        if head[0] != 0xFF:  # a segment is longer than declared: like decoders, search for the next marker
            position = prefix.find(b"\xff", position)
            if position < 0:
                return None
            continue
        if marker in {_SCAN, _END}:
            return HeaderProblem.UNSUPPORTED
        if marker in _FRAME_MARKERS:
            return _decode_big_endian(head[7:9]), _decode_big_endian(head[5:7])
        if marker == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 if marker in _MARKERS_WITHOUT_LENGTH else 2 + _decode_big_endian(head[2:4])
    return HeaderProblem.UNSUPPORTED


def _decode_big_endian(number: bytes | bytearray) -> int:
    return int.from_bytes(number, "big")


def _decode_little_endian(number: bytes | bytearray) -> int:
    return int.from_bytes(number, "little")
