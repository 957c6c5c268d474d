"""How large a picture says that it is, by its header alone: nothing is decoded, and nothing is started to find out.

A file of 57 bytes can claim 60,000 x 60,000 pixels, one of 642 KiB can hold 13,000 x 13,000, and one of 190 KiB a text
of 200 MB. All are found out here, by reading a few numbers and inflating a few megabytes. What is walked over on the
way to them (metadata, colour profiles) is bounded in number.
"""

import zlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from gateway.images.formats import ImageFormat, format_of

MAX_CHUNKS = 20_000  # of a PNG; before the pixels of a JPEG. A camera's has some dozens, a PNG one for 8 KiB of pixels
INFLATED_BYTES = 4 << 20  # of all compressed texts and the profile of a PNG; Pillow takes no more than 1 MiB of each

_TELLING_BYTES = 33  # by which the format is known, and the size of a PNG or WebP
_NO_SIZE = {0x01, 0xD8, *range(0xD0, 0xD8)}  # JPEG markers without a length: TEM, SOI, RST
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF: all but DHT, JPG, DAC
_SCAN, _END = 0xDA, 0xD9
_WEBP_ANIMATED = 0x02
_PACKED = {b"zTXt", b"iTXt", b"iCCP"}


class Unfit(Enum):
    """Why a file is none that is looked at any further."""

    UNSUPPORTED = auto()  # no PNG, JPEG or WebP, or it says nothing sensible of its size
    ANIMATED = auto()
    BLOATED = auto()  # beside its pixels there is more than anybody needs, packed small


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture says of itself. Sides are in pixels and at least 1."""

    format: ImageFormat
    width: int
    height: int


Size: TypeAlias = tuple[int, int]


def read_header(begun: bytes | bytearray, *, whole: bool) -> ImageHeader | Unfit | None:
    """The header of a file that begins like this; None if more of it is needed to tell.

    Args:
        begun: the first bytes.
        whole: whether they are all: then it tells. That a PNG is animated or bloated is seen only then.
    """
    if len(begun) < _TELLING_BYTES:
        return Unfit.UNSUPPORTED if whole else None
    format_, size = format_of(bytes(begun[:12])), None
    match format_:
        case None:
            return Unfit.UNSUPPORTED
        case ImageFormat.PNG:
            size = _png_size(begun, whole=whole)
        case ImageFormat.JPEG:
            size = _jpeg_size(begun)
        case ImageFormat.WEBP:
            size = Unfit.ANIMATED if _moves(begun) else webp_size(begun)
    if isinstance(size, tuple):
        return ImageHeader(format_, *size) if all(size) else Unfit.UNSUPPORTED
    return size or (Unfit.UNSUPPORTED if whole else None)


def webp_size(begun: bytes | bytearray) -> Size | Unfit:
    """Width and height of the canvas of a WebP, by its first 30 bytes.

    Pillow sets the canvas aside when it opens such a file, before anybody can ask for its size.
    """
    kind, head = begun[12:16], begun[20:30]
    if len(head) < 10:
        return Unfit.UNSUPPORTED
    if kind == b"VP8X":
        return _little(head[4:7]) + 1, _little(head[7:10]) + 1
    if kind == b"VP8L":
        bits = _little(head[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _little(head[6:8]) & 0x3FFF, _little(head[8:10]) & 0x3FFF
    return Unfit.UNSUPPORTED


def _moves(webp: bytes | bytearray) -> bool:
    return webp[12:16] == b"VP8X" and bool(webp[20] & _WEBP_ANIMATED)


def _png_size(begun: bytes | bytearray, *, whole: bool) -> Size | Unfit:
    if begun[8:16] != b"\0\0\0\rIHDR":
        return Unfit.UNSUPPORTED
    unfit = _png_unfit(begun) if whole else None
    return unfit or (_big(begun[16:20]), _big(begun[20:24]))


def _png_unfit(png: bytes | bytearray) -> Unfit | None:
    """What a whole PNG says in its chunks: an animation before its first pixels, texts and a profile anywhere."""
    at, pixels, left = 33, False, INFLATED_BYTES
    for _ in range(MAX_CHUNKS):
        length, kind = _big(png[at : at + 4]), bytes(png[at + 4 : at + 8])
        if len(kind) < 4:
            return None if pixels else Unfit.UNSUPPORTED
        if kind == b"acTL" and not pixels:
            return Unfit.ANIMATED
        if kind in _PACKED:
            left -= _inflated_bytes(kind, bytes(png[at + 8 : at + 8 + length]), left)
            if left < 0:
                return Unfit.BLOATED
        pixels = pixels or kind == b"IDAT"
        at += 12 + length
    return Unfit.UNSUPPORTED


def _inflated_bytes(kind: bytes, content: bytes, most: int) -> int:
    """How large the text or profile of a chunk is when it is inflated; of one above ``most`` no more is known."""
    _, _, rest = content.partition(b"\0")
    packed = rest[1:]  # after the method
    if kind == b"iTXt":  # flag, method, language, translated keyword, text
        packed = rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""
    try:
        return len(zlib.decompressobj().decompress(packed, most + 1))
    except zlib.error:
        return 0  # whether it minds is for the decoder to say


def _jpeg_size(begun: bytes | bytearray) -> Size | Unfit | None:
    at = 2
    for _ in range(MAX_CHUNKS):
        head = begun[at : at + 9]
        if len(head) < 9:
            return None
        marker = head[1]
        if head[0] != 0xFF:  # a segment is longer than it says: decoders look for the next marker, and so do we
            at = begun.find(b"\xff", at)
            if at < 0:
                return None
            continue
        if marker in {_SCAN, _END}:
            return Unfit.UNSUPPORTED
        if marker in _FRAMES:
            return _big(head[7:9]), _big(head[5:7])
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 if marker in _NO_SIZE else 2 + _big(head[2:4])
    return Unfit.UNSUPPORTED


def _big(number: bytes | bytearray) -> int:
    return int.from_bytes(number, "big")


def _little(number: bytes | bytearray) -> int:
    return int.from_bytes(number, "little")
