"""Binary WebSocket frames; every integer is an unsigned 32-bit big-endian number (ComfyUI 0.3 and 0.33)."""

import json
import struct

from simnode.wire import Document

PREVIEW_IMAGE = 1
TEXT = 3
PREVIEW_IMAGE_WITH_METADATA = 4
JPEG, PNG = 1, 2
PNG_MAGIC = b"\x89PNG"


def encode_preview(image: bytes) -> bytes:
    """Encode frame type 1: format code and image. It does not identify a node or prompt."""
    return struct.pack(">II", PREVIEW_IMAGE, PNG if image.startswith(PNG_MAGIC) else JPEG) + image


def encode_preview_with_metadata(image: bytes, metadata: Document) -> bytes:
    """Encode frame type 4, for clients that declared ``supports_preview_metadata``: JSON ids before the image."""
    kind = "image/png" if image.startswith(PNG_MAGIC) else "image/jpeg"
    text = json.dumps({**metadata, "image_type": kind}).encode()
    return struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(text)) + text + image


def encode_progress_text(node_id: str, text: str) -> bytes:
    """Encode frame type 3: a line of text about a node."""
    name = node_id.encode()
    return struct.pack(">II", TEXT, len(name)) + name + text.encode()
