"""Recognizes file types by their first bytes, without decoding anything.

No library knows latents and 3D files, so one table covers all types. Sources, where a format has a public
specification: ISO/IEC 14496-12 (MP4), RFC 8794 (EBML), RFC 3533 (Ogg), ISO/IEC 11172-3 and 13818-7 (MP3, AAC), RFC 9639
(FLAC), glTF 2.0, safetensors 0.5, OpenEXR 3. The others follow their readers: three.js (OBJ, STL, PLY, FBX), Niantic's
spz, antimatter15's splat, mkkellogg's GaussianSplats3D (ksplat).
"""

import re
import struct
import zlib
from collections.abc import Callable
from math import isfinite

from contracts.file_types import FILE_TYPES, FileType

LOOK_AT_BYTES = 4096  # enough to recognize every type

_MP4_IMAGE = {
    *(b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"crx ", b"jxl "),
}
_MP4_AUDIO = {b"M4A ", b"M4B ", b"M4P ", b"F4A "}
_MOVIE_ATOMS = {b"moov", b"mdat", b"wide"}  # QuickTime files from before 2001 begin with one of these
_WAVE_CHUNKS = {b"fmt ", b"JUNK", b"junk", b"bext", b"LIST", b"fact", b"ds64", b"PAD ", b"FLLR", b"iXML", b"id3 "}
_SAFETENSORS_HEADER = 100_000_000  # bytes; the maximum of its reader
_OBJ_WORDS = {*(b"v", b"vn", b"vt", b"vp", b"f", b"l", b"p", b"o", b"g", b"s", b"mtllib", b"usemtl", b"usemap")}
_OBJ_TELLING = {b"v", b"vn", b"vt", b"f", b"o", b"g", b"mtllib"}
_GLTF_KEYS = re.compile(rb'"(asset|accessors|bufferViews|buffers|scenes|meshes|nodes|materials)"\s*:\s*[\[{]')
_DATA_WINDOW = re.compile(rb"dataWindow\0box2i\0\x10\0\0\0(.{16})", re.DOTALL)
_SPLAT_BYTES, _KSPLAT_HEADER = 32, 4096
_STL_HEADER, _STL_TRIANGLE = 84, 50
_FLOAT_LIMIT = 1e7  # coordinates of a scene are smaller; text or noise interpreted as floats usually is not

_MP3_KBITS = {  # by MPEG version 1 or not, of layer III
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def detect_file_type(begun: bytes, size: int | None) -> FileType | None:
    """Return the type of a file that begins with these bytes; None for unsupported types.

    Args:
        begun: the first ``LOOK_AT_BYTES``, or all bytes.
        size: of the whole file, if known. Two formats are recognized only by it.
    """
    for looks_like in _TESTS:
        media_type = looks_like(begun, size)
        if media_type is not None:
            return FILE_TYPES[media_type]
    return None


def may_be_recognized_by_size(begun: bytes, at_most: int) -> bool:
    """Whether the file can still turn out to be of a type that is recognized only by the size of the whole file.

    Args:
        begun: see ``detect_file_type``.
        at_most: largest size of the whole file, bytes.
    """
    triangles_end = _compute_stl_size(begun)
    return (
        (triangles_end is not None and triangles_end <= at_most) or _looks_like_splat_data(begun) or _is_ksplat(begun)
    )


def read_exr_size(begun: bytes) -> tuple[int, int] | None:
    """Width and height of an OpenEXR image; None if its first bytes do not contain them."""
    found = _DATA_WINDOW.search(begun)
    if found is None:
        return None
    left, top, right, bottom = struct.unpack("<4i", found[1])
    width, height = right - left + 1, bottom - top + 1
    return (width, height) if width > 0 and height > 0 else None


def _detect_image(begun: bytes, _size: int | None) -> str | None:
    return "image/x-exr" if begun[:4] == b"\x76\x2f\x31\x01" else None


def _detect_mp4(begun: bytes, _size: int | None) -> str | None:
    brand = begun[8:12]
    if begun[4:8] == b"ftyp":
        if brand == b"qt  ":
            return "video/quicktime"
        if brand in _MP4_AUDIO:
            return "audio/mp4"
        return None if brand in _MP4_IMAGE else "video/mp4"
    return "video/quicktime" if begun[:1] == b"\0" and begun[4:8] in _MOVIE_ATOMS else None


def _detect_matroska(begun: bytes, _size: int | None) -> str | None:
    if begun[:4] != b"\x1a\x45\xdf\xa3":
        return None
    head = begun[:64]
    if b"\x42\x82\x84webm" in head:
        return "video/webm"
    return "video/x-matroska" if b"\x42\x82\x88matroska" in head else None


def _detect_riff(begun: bytes, _size: int | None) -> str | None:
    if begun[:4] == b"RIFF" and begun[8:16] == b"AVI LIST":
        return "video/x-msvideo"
    is_wave = begun[:4] in {b"RIFF", b"RF64"} and begun[8:12] == b"WAVE" and begun[12:16] in _WAVE_CHUNKS
    return "audio/wav" if is_wave else None


def _detect_ogg(begun: bytes, _size: int | None) -> str | None:
    if begun[:5] != b"OggS\0" or len(begun) < 28:
        return None
    codec = begun[27 + begun[26] :][:8]  # after the segment table of the first page
    if codec[:7] == b"\x80theora":
        return "video/ogg"
    is_sound = codec.startswith((b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "))
    return "audio/ogg" if is_sound else None


def _detect_old_video(begun: bytes, _size: int | None) -> str | None:
    if begun[:4] == b"FLV\x01":
        return "video/x-flv"
    if begun[:4] == b"\0\0\x01\xba":
        return "video/mpeg"
    if begun[:16] == bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"):
        return "video/x-ms-asf"
    is_transport = len(begun) > 376 and begun[0] == begun[188] == begun[376] == 0x47
    return "video/mp2t" if is_transport else None


def _detect_sound(begun: bytes, _size: int | None) -> str | None:
    if begun[:4] == b"fLaC":
        return "audio/flac"
    if begun[:4] == b"FORM" and begun[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if begun[:3] == b"ID3" and begun[3:4] in {b"\x02", b"\x03", b"\x04"}:
        return "audio/mpeg"
    length = _measure_frame(begun)
    if length is None or begun[length] != 0xFF or (begun[length + 1] ^ begun[1]) & 0xFE:
        return None  # no second frame of the same kind follows
    return "audio/aac" if begun[1] & 0xF6 == 0xF0 else "audio/mpeg"


def _measure_frame(begun: bytes) -> int | None:
    """Return the length of the first frame of an MP3 or ADTS file, if the next frame begins within these bytes."""
    if len(begun) < 9 or begun[0] != 0xFF or begun[1] & 0xE0 != 0xE0:
        return None
    if begun[1] & 0xF6 == 0xF0:
        length = (begun[3] & 3) << 11 | begun[4] << 3 | begun[5] >> 5
    else:
        version, layer, rate, kbits = begun[1] >> 3 & 3, begun[1] >> 1 & 3, begun[2] >> 2 & 3, begun[2] >> 4
        if layer != 1 or version == 1 or rate == 3 or kbits in {0, 15}:
            return None
        bits = (144 if version == 3 else 72) * 1000 * _MP3_KBITS[version == 3][kbits]
        length = bits // _MP3_RATES[version][rate] + (begun[2] >> 1 & 1)
    return length if 4 < length < len(begun) - 1 else None


def _detect_latent(begun: bytes, size: int | None) -> str | None:
    if len(begun) < 10 or begun[8:10] not in {b'{"', b"{ "}:
        return None
    header = int.from_bytes(begun[:8], "little")
    fits = 2 <= header <= _SAFETENSORS_HEADER and (size is None or header + 8 <= size)
    return "application/x-safetensors" if fits else None


def _detect_model(begun: bytes, _size: int | None) -> str | None:
    if begun[:8] == b"glTF\x02\0\0\0":
        return "model/gltf-binary"
    if begun.startswith((b"ply\n", b"ply\r\n")):
        return "application/x-ply"
    if begun.startswith((b"Kaydara FBX Binary  \0", b"; FBX ")):
        return "application/x-fbx"
    if begun[:5] == b"solid" and b"facet" in begun:
        return "model/stl"
    if begun.lstrip()[:1] == b"{" and _GLTF_KEYS.search(begun):
        return "model/gltf+json"
    return None


def _detect_spz(begun: bytes, _size: int | None) -> str | None:
    """Gaussian splats in gzip (until version 3) or plain: unpacks sixteen bytes."""
    if begun[:3] == b"\x1f\x8b\x08":
        try:
            begun = zlib.decompressobj(31).decompress(begun, 16)
        except zlib.error:
            return None
    return "application/x-spz" if begun[:4] == b"NGSP" else None


def _detect_obj(begun: bytes, size: int | None) -> str | None:
    """Detect a text whose lines all begin with a keyword of the format."""
    if b"\0" in begun:
        return None
    is_all = size is not None and size <= len(begun)
    lines = [line.split(None, 1)[0] for line in begun.splitlines()[: None if is_all else -1] if line.strip()]
    words = {word for word in lines if not word.startswith(b"#")}
    return "model/obj" if words and words <= _OBJ_WORDS and words & _OBJ_TELLING else None


def _detect_stl(begun: bytes, size: int | None) -> str | None:
    """Binary STL: an 80-byte header, the number of triangles, and exactly that many triangles."""
    return "model/stl" if size is not None and size == _compute_stl_size(begun) else None


def _compute_stl_size(begun: bytes) -> int | None:
    if len(begun) < _STL_HEADER:
        return None
    triangles = int.from_bytes(begun[80:84], "little")
    return _STL_HEADER + _STL_TRIANGLE * triangles if triangles else None


def _detect_splat(begun: bytes, size: int | None) -> str | None:
    is_complete = size is not None and size % _SPLAT_BYTES == 0
    return "application/x-splat" if is_complete and _looks_like_splat_data(begun) else None


def _looks_like_splat_data(begun: bytes) -> bool:
    """Whether the data looks like a .splat file: position and scale of each 32-byte record are plausible floats."""
    rows = len(begun) // _SPLAT_BYTES
    if not rows or begun.isascii():
        return False
    for row in struct.iter_unpack("<6f8x", begun[: rows * _SPLAT_BYTES]):
        if not all(isfinite(one) and abs(one) < _FLOAT_LIMIT for one in row) or not all(one > 0 for one in row[3:]):
            return False
    return True


def _detect_ksplat(begun: bytes, size: int | None) -> str | None:
    return "application/x-ksplat" if size is not None and _is_ksplat(begun) else None


def _is_ksplat(begun: bytes) -> bool:
    if len(begun) < _KSPLAT_HEADER or begun[:2] != b"\0\x01":
        return False
    most, sections, most_splats, splats = struct.unpack_from("<4I", begun, 4)
    return 1 <= sections <= most <= 10_000 and 1 <= splats <= most_splats and begun[20] <= 2


_TESTS: tuple[Callable[[bytes, int | None], str | None], ...] = (
    _detect_image, _detect_mp4, _detect_matroska, _detect_riff, _detect_ogg, _detect_old_video, _detect_sound,
    _detect_latent, _detect_model, _detect_spz, _detect_obj, _detect_ksplat, _detect_stl, _detect_splat,
)  # fmt: skip
"""Checked in this order: signatures first, then formats recognized only by plausibility."""
