"""Encodes silence as a valid FLAC stream without a codec library (RFC 9639).

Every block is a constant subframe of zeros, so a minute takes about 10 kB. Samples have 16 bits.
"""

import hashlib
import struct
from collections.abc import Mapping

BLOCK = 4096  # samples per frame and channel
BITS = 16
_ZEROS = bytes(1 << 16)


def encode_silence(samples: int, sample_rate: int, channels: int, comments: Mapping[str, str]) -> bytes:
    """Encode digital silence.

    Args:
        samples: number of samples per channel, >= 0 and below 2**36.
        sample_rate: Hz, 1 to 655 350.
        channels: 1 or 2.
        comments: metadata tags.

    Returns:
        A complete stream: marker, STREAMINFO with the MD5 of the decoded bytes, VORBIS_COMMENT, frames.
    """
    frames = [
        _encode_silent_frame(index, min(BLOCK, samples - start), channels)
        for index, start in enumerate(range(0, samples, BLOCK))
    ]
    sizes = [len(frame) for frame in frames] or [0]
    packed = (sample_rate << 44) | ((channels - 1) << 41) | ((BITS - 1) << 36) | samples
    info = struct.pack(">HH", BLOCK, BLOCK) + min(sizes).to_bytes(3, "big") + max(sizes).to_bytes(3, "big")
    info += packed.to_bytes(8, "big") + _compute_md5_of_zeros(samples * channels * BITS // 8)
    return (
        b"fLaC"
        + _encode_metadata_block(0x00, info)
        + _encode_metadata_block(0x80 | 4, _encode_vorbis_comment(comments))
        + b"".join(frames)
    )


def _encode_metadata_block(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


def _encode_vorbis_comment(comments: Mapping[str, str]) -> bytes:
    texts = [b"simnode", *(f"{name}={text}".encode() for name, text in comments.items())]
    vendor, *named = (struct.pack("<I", len(text)) + text for text in texts)
    return vendor + struct.pack("<I", len(named)) + b"".join(named)


def _encode_silent_frame(index: int, length: int, channels: int) -> bytes:
    # sync and fixed block size; block size as 16-bit field; rate and bit depth from STREAMINFO
    header = bytes([0xFF, 0xF8, 0x70, (channels - 1) << 4]) + _encode_number(index) + struct.pack(">H", length - 1)
    header += bytes([_compute_crc8(header)])
    subframes = (b"\x00" + bytes(BITS // 8)) * channels
    body = header + subframes
    return body + struct.pack(">H", _compute_crc16(body))


def _encode_number(value: int) -> bytes:
    """Encode a frame number in the extended UTF-8 of RFC 9639, section 9.1.5."""
    if value < 0x80:
        return bytes([value])
    tail: list[int] = []
    room = 0x3F
    while value > room:
        tail.insert(0, 0x80 | (value & 0x3F))
        value >>= 6
        room >>= 1
    return bytes([(~(room * 2 + 1) & 0xFF) | value, *tail])


def _compute_crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else (crc << 1) & 0xFF
    return crc


def _compute_crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x8005) & 0xFFFF if crc & 0x8000 else (crc << 1) & 0xFFFF
    return crc


def _compute_md5_of_zeros(length: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    while length > 0:
        digest.update(_ZEROS[:length])
        length -= len(_ZEROS)
    return digest.digest()
