"""File types that users can upload: their names, and the graph inputs that accept them."""

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class FileKind(StrEnum):
    """The kind of content in a file."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    LATENT = "latent"
    MODEL_3D = "model_3d"


class FileType(NamedTuple):
    """A type of file.

    Attributes:
        extension: file name extension that ComfyUI's loaders expect, with the dot.
    """

    media_type: str
    extension: str
    kind: FileKind


def _build_types(kind: FileKind, *names: tuple[str, str]) -> tuple[FileType, ...]:
    return tuple(FileType(media_type, extension, kind) for media_type, extension in names)


# Names from IANA's registry; for unregistered types the name that MIME libraries use.
FILE_TYPES = MappingProxyType({
    file_type.media_type: file_type
    for file_type in (
        *_build_types(
            FileKind.IMAGE,
            ("image/png", ".png"),
            ("image/jpeg", ".jpg"),
            ("image/webp", ".webp"),
            ("image/x-exr", ".exr"),
        ),
        *_build_types(
            FileKind.VIDEO,
            ("video/mp4", ".mp4"),
            ("video/quicktime", ".mov"),
            ("video/webm", ".webm"),
            ("video/x-matroska", ".mkv"),
            ("video/x-msvideo", ".avi"),
            ("video/x-flv", ".flv"),
            ("video/ogg", ".ogv"),
            ("video/mpeg", ".mpg"),
            ("video/mp2t", ".ts"),
            ("video/x-ms-asf", ".wmv"),
        ),
        *_build_types(
            FileKind.AUDIO,
            ("audio/wav", ".wav"),
            ("audio/mpeg", ".mp3"),
            ("audio/flac", ".flac"),
            ("audio/ogg", ".ogg"),
            ("audio/mp4", ".m4a"),
            ("audio/aac", ".aac"),
            ("audio/aiff", ".aiff"),
        ),
        *_build_types(FileKind.LATENT, ("application/x-safetensors", ".latent")),
        *_build_types(
            FileKind.MODEL_3D,
            ("model/gltf-binary", ".glb"),
            ("model/gltf+json", ".gltf"),
            ("model/obj", ".obj"),
            ("model/stl", ".stl"),
            ("application/x-ply", ".ply"),
            ("application/x-fbx", ".fbx"),
            ("application/x-spz", ".spz"),
            ("application/x-splat", ".splat"),
            ("application/x-ksplat", ".ksplat"),
        ),
    )
})  # fmt: skip
"""File types by media type."""
