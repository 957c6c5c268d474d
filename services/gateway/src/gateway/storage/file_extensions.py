"""File extensions by media type."""

from contracts.file_types import FILE_TYPES

_OTHERS = {
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/svg+xml": ".svg",
    "model/vnd.usdz+zip": ".usdz",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/json": ".json",
}
"""Types of outputs that cannot be uploaded."""


def find_extension(content_type: str) -> str:
    """Return the extension with its dot; ``.bin`` for an unknown type."""
    media_type = content_type.partition(";")[0].strip()
    known = FILE_TYPES.get(media_type)
    return known.extension if known is not None else _OTHERS.get(media_type, ".bin")
