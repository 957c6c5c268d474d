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

SIGNATURE_BYTES = 4096  # enough to recognize every type

_MP4_IMAGE = {
    *(b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"crx ", b"jxl "),
}
_MP4_AUDIO = {b"M4A ", b"M4B ", b"M4P ", b"F4A "}
_MOVIE_ATOMS = {b"moov", b"mdat", b"wide"}  # QuickTime files from before 2001 begin with one of these
_WAVE_CHUNKS = {b"fmt ", b"JUNK", b"junk", b"bext", b"LIST", b"fact", b"ds64", b"PAD ", b"FLLR", b"iXML", b"id3 "}
_SAFETENSORS_HEADER = 100_000_000  # bytes; the maximum of its reader
_OBJ_WORDS = {*(b"v", b"vn", b"vt", b"vp", b"f", b"l", b"p", b"o", b"g", b"s", b"mtllib", b"usemtl", b"usemap")}
_OBJ_DISTINCTIVE_WORDS = {b"v", b"vn", b"vt", b"f", b"o", b"g", b"mtllib"}
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


def detect_file_type(prefix: bytes, size: int | None) -> FileType | None:
    """Return the type of a file that begins with these bytes; None for unsupported types.

    Args:
        prefix: the first ``SIGNATURE_BYTES``, or all bytes.
        size: size of the whole file, if known. Two formats are recognized only by their size.
    """
    for detect in _DETECTORS:
        media_type = detect(prefix, size)
        if media_type is not None:
            return FILE_TYPES[media_type]
    return None


def may_be_recognized_by_size(prefix: bytes, max_bytes: int) -> bool:
    """Whether the file can still turn out to be of a type that is recognized only by the size of the whole file.

    Args:
        prefix: see ``detect_file_type``.
        max_bytes: largest size of the whole file, bytes.
    """
    triangles_end = _compute_stl_size(prefix)
    return (
        (triangles_end is not None and triangles_end <= max_bytes)
        or _looks_like_splat_data(prefix)
        or _is_ksplat(prefix)
    )


def read_exr_size(prefix: bytes) -> tuple[int, int] | None:
    """Return width and height of an OpenEXR image; None if its first bytes do not contain them."""
    found = _DATA_WINDOW.search(prefix)
    if found is None:
        return None
    left, top, right, bottom = struct.unpack("<4i", found[1])
    width, height = right - left + 1, bottom - top + 1
    return (width, height) if width > 0 and height > 0 else None


def _detect_image(prefix: bytes, _size: int | None) -> str | None:
    return "image/x-exr" if prefix[:4] == b"\x76\x2f\x31\x01" else None


def _detect_mp4(prefix: bytes, _size: int | None) -> str | None:
    brand = prefix[8:12]
    if prefix[4:8] == b"ftyp":
        if brand == b"qt  ":
            return "video/quicktime"
        if brand in _MP4_AUDIO:
            return "audio/mp4"
        return None if brand in _MP4_IMAGE else "video/mp4"
    return "video/quicktime" if prefix[:1] == b"\0" and prefix[4:8] in _MOVIE_ATOMS else None


def _detect_matroska(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:4] != b"\x1a\x45\xdf\xa3":
        return None
    head = prefix[:64]
    if b"\x42\x82\x84webm" in head:
        return "video/webm"
    return "video/x-matroska" if b"\x42\x82\x88matroska" in head else None


def _detect_riff(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:4] == b"RIFF" and prefix[8:16] == b"AVI LIST":
        return "video/x-msvideo"
    is_wave = prefix[:4] in {b"RIFF", b"RF64"} and prefix[8:12] == b"WAVE" and prefix[12:16] in _WAVE_CHUNKS
    return "audio/wav" if is_wave else None


def _detect_ogg(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:5] != b"OggS\0" or len(prefix) < 28:
        return None
    codec = prefix[27 + prefix[26] :][:8]  # after the segment table of the first page
    if codec[:7] == b"\x80theora":
        return "video/ogg"
    is_audio = codec.startswith((b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "))
    return "audio/ogg" if is_audio else None


def _detect_old_video(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:4] == b"FLV\x01":
        return "video/x-flv"
    if prefix[:4] == b"\0\0\x01\xba":
        return "video/mpeg"
    if prefix[:16] == bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"):
        return "video/x-ms-asf"
    is_transport = len(prefix) > 376 and prefix[0] == prefix[188] == prefix[376] == 0x47
    return "video/mp2t" if is_transport else None


def _detect_audio(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:4] == b"fLaC":
        return "audio/flac"
    if prefix[:4] == b"FORM" and prefix[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if prefix[:3] == b"ID3" and prefix[3:4] in {b"\x02", b"\x03", b"\x04"}:
        return "audio/mpeg"
    length = _find_first_frame_length(prefix)
    if length is None or prefix[length] != 0xFF or (prefix[length + 1] ^ prefix[1]) & 0xFE:
        return None  # no second frame of the same kind follows
    return "audio/aac" if prefix[1] & 0xF6 == 0xF0 else "audio/mpeg"


def _find_first_frame_length(prefix: bytes) -> int | None:
    """Return the length of the first frame of an MP3 or ADTS file, if the next frame begins within these bytes."""
    if len(prefix) < 9 or prefix[0] != 0xFF or prefix[1] & 0xE0 != 0xE0:
        return None
    if prefix[1] & 0xF6 == 0xF0:
        length = (prefix[3] & 3) << 11 | prefix[4] << 3 | prefix[5] >> 5
    else:
        version, layer, rate, kbits = prefix[1] >> 3 & 3, prefix[1] >> 1 & 3, prefix[2] >> 2 & 3, prefix[2] >> 4
        if layer != 1 or version == 1 or rate == 3 or kbits in {0, 15}:
            return None
        bits = (144 if version == 3 else 72) * 1000 * _MP3_KBITS[version == 3][kbits]
        length = bits // _MP3_RATES[version][rate] + (prefix[2] >> 1 & 1)
    return length if 4 < length < len(prefix) - 1 else None


def _detect_latent(prefix: bytes, size: int | None) -> str | None:
    if len(prefix) < 10 or prefix[8:10] not in {b'{"', b"{ "}:
        return None
    header = int.from_bytes(prefix[:8], "little")
    fits = 2 <= header <= _SAFETENSORS_HEADER and (size is None or header + 8 <= size)
    return "application/x-safetensors" if fits else None


def _detect_model(prefix: bytes, _size: int | None) -> str | None:
    if prefix[:8] == b"glTF\x02\0\0\0":
        return "model/gltf-binary"
    if prefix.startswith((b"ply\n", b"ply\r\n")):
        return "application/x-ply"
    if prefix.startswith((b"Kaydara FBX Binary  \0", b"; FBX ")):
        return "application/x-fbx"
    if prefix[:5] == b"solid" and b"facet" in prefix:
        return "model/stl"
    if prefix.lstrip()[:1] == b"{" and _GLTF_KEYS.search(prefix):
        return "model/gltf+json"
    return None


def _detect_spz(prefix: bytes, _size: int | None) -> str | None:
    """Detect Gaussian splats, in gzip (until version 3) or uncompressed. Unpacks sixteen bytes."""
    if prefix[:3] == b"\x1f\x8b\x08":
        try:
            prefix = zlib.decompressobj(31).decompress(prefix, 16)
        except zlib.error:
            return None
    return "application/x-spz" if prefix[:4] == b"NGSP" else None


def _detect_obj(prefix: bytes, size: int | None) -> str | None:
    """Detect a text whose lines all begin with a keyword of the format."""
    if b"\0" in prefix:
        return None
    is_all = size is not None and size <= len(prefix)
    lines = [line.split(None, 1)[0] for line in prefix.splitlines()[: None if is_all else -1] if line.strip()]
    words = {word for word in lines if not word.startswith(b"#")}
    return "model/obj" if words and words <= _OBJ_WORDS and words & _OBJ_DISTINCTIVE_WORDS else None


def _detect_stl(prefix: bytes, size: int | None) -> str | None:
    """Detect binary STL: an 80-byte header, the number of triangles, and exactly that many triangles."""
    return "model/stl" if size is not None and size == _compute_stl_size(prefix) else None


def _compute_stl_size(prefix: bytes) -> int | None:
    if len(prefix) < _STL_HEADER:
        return None
    triangles = int.from_bytes(prefix[80:84], "little")
    return _STL_HEADER + _STL_TRIANGLE * triangles if triangles else None


def _detect_splat(prefix: bytes, size: int | None) -> str | None:
    is_complete = size is not None and size % _SPLAT_BYTES == 0
    return "application/x-splat" if is_complete and _looks_like_splat_data(prefix) else None


def _looks_like_splat_data(prefix: bytes) -> bool:
    """Whether the data looks like a .splat file: position and scale of each 32-byte record are plausible floats."""
    rows = len(prefix) // _SPLAT_BYTES
    if not rows or prefix.isascii():
        return False
    for row in struct.iter_unpack("<6f8x", prefix[: rows * _SPLAT_BYTES]):
        if not all(isfinite(number) and abs(number) < _FLOAT_LIMIT for number in row) or min(row[3:]) <= 0:
            return False
    return True


def _detect_ksplat(prefix: bytes, size: int | None) -> str | None:
    return "application/x-ksplat" if size is not None and _is_ksplat(prefix) else None


def _is_ksplat(prefix: bytes) -> bool:
    if len(prefix) < _KSPLAT_HEADER or prefix[:2] != b"\0\x01":
        return False
    max_sections, sections, max_splats, splats = struct.unpack_from("<4I", prefix, 4)
    return 1 <= sections <= max_sections <= 10_000 and 1 <= splats <= max_splats and prefix[20] <= 2


_DETECTORS: tuple[Callable[[bytes, int | None], str | None], ...] = (
    _detect_image, _detect_mp4, _detect_matroska, _detect_riff, _detect_ogg, _detect_old_video, _detect_audio,
    _detect_latent, _detect_model, _detect_spz, _detect_obj, _detect_ksplat, _detect_stl, _detect_splat,
)  # fmt: skip
"""Checked in this order: signatures first, then formats recognized only by plausibility."""
