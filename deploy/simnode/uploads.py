"""Stores uploads under a name that is free or already has the same content."""

import hashlib
import io
import os
from pathlib import Path

from PIL import Image

from simnode.folders import Folders, is_inside
from simnode.wire import Document


def store(folder: Path, name: str, content: bytes, *, overwrite: bool) -> str:
    """Write a file and return its name.

    Without ``overwrite`` an existing name is reused if the bytes are equal. Otherwise ``name (1).ext``, ``(2)`` and so
    on are tried, each with the same comparison. The write is not atomic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = name if overwrite else _choose_free_name(folder, name, content)
    target = folder / chosen
    if overwrite or not target.exists():
        target.write_bytes(content)
    return chosen


def apply_mask(folders: Folders, original: Document, mask: bytes) -> bytes | None:
    """Copy the alpha of an uploaded image to an earlier one; None if the earlier one is missing or must not be read."""
    name, folder = folders.split_annotation(str(original["filename"]), str(original.get("type", "output")))
    path = folder / str(original.get("subfolder", "")) / os.path.basename(name)  # noqa: PTH119 - a string from the wire
    if not name or name.startswith("/") or ".." in name or not is_inside(path, folder) or not path.is_file():
        return None
    with Image.open(path) as base, Image.open(io.BytesIO(mask)) as drawn:
        image = base.convert("RGBA")
        image.putalpha(drawn.convert("RGBA").getchannel("A").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _choose_free_name(folder: Path, name: str, content: bytes) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a string from the wire
    candidate, number = name, 1
    while (folder / candidate).exists() and not _has_same_content(folder / candidate, content):
        candidate = f"{stem} ({number}){suffix}"
        number += 1
    return candidate


def _has_same_content(path: Path, content: bytes) -> bool:
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
