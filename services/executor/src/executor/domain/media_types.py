"""Determines the media type of a file by its name."""

from contracts.scheduler.outputs import OutputKind

UNKNOWN_FILE_TYPE = (OutputKind.FILE, "application/octet-stream")

_BY_EXTENSION: dict[str, tuple[OutputKind, str]] = {
    "png": (OutputKind.IMAGE, "image/png"),
    "jpg": (OutputKind.IMAGE, "image/jpeg"),
    "jpeg": (OutputKind.IMAGE, "image/jpeg"),
    "webp": (OutputKind.IMAGE, "image/webp"),
    "gif": (OutputKind.IMAGE, "image/gif"),
    "avif": (OutputKind.IMAGE, "image/avif"),
    "bmp": (OutputKind.IMAGE, "image/bmp"),
    "tif": (OutputKind.IMAGE, "image/tiff"),
    "tiff": (OutputKind.IMAGE, "image/tiff"),
    "exr": (OutputKind.IMAGE, "image/x-exr"),
    "svg": (OutputKind.IMAGE, "image/svg+xml"),
    "mp4": (OutputKind.VIDEO, "video/mp4"),
    "webm": (OutputKind.VIDEO, "video/webm"),
    "mov": (OutputKind.VIDEO, "video/quicktime"),
    "mkv": (OutputKind.VIDEO, "video/x-matroska"),
    "avi": (OutputKind.VIDEO, "video/x-msvideo"),
    "flac": (OutputKind.AUDIO, "audio/flac"),
    "mp3": (OutputKind.AUDIO, "audio/mpeg"),
    "wav": (OutputKind.AUDIO, "audio/wav"),
    "opus": (OutputKind.AUDIO, "audio/ogg"),
    "ogg": (OutputKind.AUDIO, "audio/ogg"),
    "m4a": (OutputKind.AUDIO, "audio/mp4"),
    "txt": (OutputKind.TEXT, "text/plain; charset=utf-8"),
    "md": (OutputKind.TEXT, "text/markdown; charset=utf-8"),
    "csv": (OutputKind.TEXT, "text/csv; charset=utf-8"),
    "json": (OutputKind.TEXT, "application/json"),
    "glb": (OutputKind.MODEL, "model/gltf-binary"),
    "gltf": (OutputKind.MODEL, "model/gltf+json"),
    "obj": (OutputKind.MODEL, "model/obj"),
    "ply": (OutputKind.MODEL, "application/octet-stream"),
    "stl": (OutputKind.MODEL, "model/stl"),
    "fbx": (OutputKind.MODEL, "application/octet-stream"),
    "usdz": (OutputKind.MODEL, "model/vnd.usdz+zip"),
    "splat": (OutputKind.MODEL, "application/octet-stream"),
    "ksplat": (OutputKind.MODEL, "application/octet-stream"),
    "spz": (OutputKind.MODEL, "application/octet-stream"),
}


def find_media_type(name: str) -> tuple[OutputKind, str]:
    """Return kind and content type of a file by its extension."""
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower(), UNKNOWN_FILE_TYPE)


def has_known_extension(name: str) -> bool:
    """Whether the file extension is known."""
    stem, dot, extension = name.rpartition(".")
    return bool(stem and dot) and extension.lower() in _BY_EXTENSION
