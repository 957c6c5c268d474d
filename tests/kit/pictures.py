"""Pictures, and what pretends to be some: made here, byte by byte, so that no bomb lies in the repository."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def file_of(picture: Image.Image, format_: str = "PNG", **more: Any) -> bytes:
    """The picture as a file."""
    sink = BytesIO()
    picture.save(sink, format_, **more)
    return sink.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, colour: int = 0) -> bytes:
    """A PNG with these chunks after its header, and no others."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + b"".join(chunks)


def flat_png(side: int, *before: bytes, channels: int = 1, parts: int = 1) -> bytes:
    """A whole black PNG, as small as it gets.

    Args:
        side: of the square, pixels.
        before: chunks before its pixels.
        channels: bytes of a pixel, 1 for grey, 4 for RGBA.
        parts: chunks that its pixels are cut into.
    """
    packed = compressed_zeros(side * (1 + side * channels))
    cut = range(0, len(packed), -(-len(packed) // parts))
    pixels = [chunk(b"IDAT", packed[at : at + cut.step]) for at in cut]
    return png(side, side, *before, *pixels, chunk(b"IEND", b""), colour={1: 0, 4: 6}[channels])


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG that ends after having said its size."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9) + bytes(64)


def webp_header(width: int, height: int, *, flags: int = 0) -> bytes:
    """A WebP that ends after having said its size."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + canvas + bytes(16)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def compressed_zeros(size: int) -> bytes:
    """What zlib makes of so many zeros, without its taking seconds: one block of them, compressed once and repeated."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, wbits=-15)
    rest = last.compress(bytes(size % len(block))) + last.flush()
    adler32 = (size % 65_521) << 16 | 1
    return b"\x78\xda" + piece * (size // len(block)) + rest + adler32.to_bytes(4, "big")


def text_bomb(size: int, kind: bytes = b"zTXt") -> bytes:
    """A small PNG with a text or profile of this many bytes, compressed."""
    head = {b"zTXt": b"Comment\0\0", b"iCCP": b"sRGB\0\0", b"iTXt": b"Comment\0\1\0en\0Comment\0"}[kind]
    return flat_png(8, chunk(kind, head + compressed_zeros(size)))


def bombs() -> dict[str, bytes]:
    """What a decoder would need much memory or time for, by name."""
    return {
        "13000 x 13000 PNG, black": flat_png(13_000, channels=4),
        "9400 x 9400 PNG, black": flat_png(9_400, channels=4),
        "60000 x 60000 PNG, empty": png(60_000, 60_000, chunk(b"IDAT", b""), chunk(b"IEND", b"")),
        "65500 x 65500 JPEG header": jpeg_header(65_500, 65_500),
        "16384 x 16384 WebP header": webp_header(16_384, 16_384),
    }
