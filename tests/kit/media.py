"""Small valid files of every type that is stored without conversion. FFmpeg created those in ``media_files/``."""

import io
import json
import random
import struct
import wave
import zlib
from pathlib import Path
from typing import NamedTuple

from contracts.file_types import FileKind
from simnode.flac import encode_silence

_FOLDER = Path(__file__).with_name("media_files")
_TRIANGLE = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


class Sample(NamedTuple):
    """A file with its type."""

    content: bytes
    media_type: str
    kind: FileKind


def samples() -> dict[str, Sample]:
    """Return one file of each type, by extension."""
    image, video, audio = FileKind.IMAGE, FileKind.VIDEO, FileKind.AUDIO
    latent, model = FileKind.LATENT, FileKind.MODEL_3D
    return {
        "mp4": Sample(_written("mp4"), "video/mp4", video),
        "webm": Sample(_written("webm"), "video/webm", video),
        "mov": Sample(_written("mov"), "video/quicktime", video),
        "mkv": Sample(_written("mkv"), "video/x-matroska", video),
        "flv": Sample(_written("flv"), "video/x-flv", video),
        "mp3": Sample(_written("mp3"), "audio/mpeg", audio),
        "ogg": Sample(_written("ogg"), "audio/ogg", audio),
        "m4a": Sample(_written("m4a"), "audio/mp4", audio),
        "aac": Sample(_written("aac"), "audio/aac", audio),
        "wav": Sample(wav(), "audio/wav", audio),
        "flac": Sample(encode_silence(4000, 8000, 1, {}), "audio/flac", audio),
        "latent": Sample(safetensors(), "application/x-safetensors", latent),
        "glb": Sample(glb(), "model/gltf-binary", model),
        "gltf": Sample(_gltf(), "model/gltf+json", model),
        "obj": Sample(obj(), "model/obj", model),
        "stl": Sample(binary_stl(), "model/stl", model),
        "ply": Sample(_ply(), "application/x-ply", model),
        "fbx": Sample(
            b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 7400) + bytes(160), "application/x-fbx", model
        ),
        "spz": Sample(_spz(), "application/x-spz", model),
        "splat": Sample(splat(), "application/x-splat", model),
        "exr": Sample(exr(4, 2), "image/x-exr", image),
    }


def wav(seconds: float = 0.1) -> bytes:
    """A quiet sound as WAV."""
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * round(8000 * seconds)))
    return sink.getvalue()


def safetensors(width: int = 64, height: int = 32) -> bytes:
    """A latent of one image, as ``SaveLatent`` writes it."""
    shape = [1, 4, height // 8, width // 8]
    size = 4 * 4 * (height // 8) * (width // 8)
    header = {
        "latent_tensor": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [size, size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    values = random.Random(1)  # noqa: S311 - any numbers will do
    return struct.pack("<Q", len(text)) + text + b"".join(struct.pack("<f", values.gauss()) for _ in range(size // 4))


def glb() -> bytes:
    """One triangle as binary glTF."""
    points = b"".join(struct.pack("<3f", *point) for point in _TRIANGLE)
    text = json.dumps(_gltf_document(len(points))).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(points), b"BIN\0") + points
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def obj() -> bytes:
    """One triangle as text."""
    lines = [f"v {x} {y} {z}" for x, y, z in _TRIANGLE]
    return "\n".join(["# a triangle", "o one", *lines, "f 1 2 3", ""]).encode()


def binary_stl(triangles: int = 1) -> bytes:
    """Triangles as binary STL. The format has no signature: only the number of triangles identifies it."""
    corners = b"".join(struct.pack("<3f", *point) for point in _TRIANGLE)
    return bytes(80) + struct.pack("<I", triangles) + (bytes(12) + corners + bytes(2)) * triangles


def splat(count: int = 3) -> bytes:
    """Gaussian splats, a format without a signature."""
    one = struct.pack("<6f", 0.5, -1.5, 2.0, 0.01, 0.02, 0.03) + bytes([200, 100, 50, 255, 128, 128, 128, 255])
    return one * count


def exr(width: int, height: int) -> bytes:
    """The header of an OpenEXR image, without pixels."""
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        b"channels\0chlist\0" + struct.pack("<I", 1) + b"\0",
        b"compression\0compression\0" + struct.pack("<I", 1) + b"\0",
        b"dataWindow\0box2i\0" + struct.pack("<I", 16) + window,
    )
    return b"\x76\x2f\x31\x01" + struct.pack("<I", 2) + b"".join(attributes) + b"\0"


def _written(extension: str) -> bytes:
    return (_FOLDER / f"tiny.{extension}").read_bytes()


def _gltf_document(size: int) -> dict[str, object]:
    return {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": size}],
        "bufferViews": [{"buffer": 0, "byteLength": size}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]}
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }


def _gltf() -> bytes:
    return json.dumps(_gltf_document(36), indent=1).encode()


def _ply() -> bytes:
    head = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    return head.encode() + b"0 0 0\n"


def _spz() -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(struct.pack("<4sIIBBBB", b"NGSP", 2, 1, 0, 12, 0, 0) + bytes(20)) + packer.flush()
