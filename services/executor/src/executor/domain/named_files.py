"""Files that a node reports as plain strings.

3D previews and some packs report ``"3d/mesh.glb"`` instead of an object. Such a string cannot be told from a text, and
a text may come from a tenant, so a string is taken for a file only if the file was written during the prompt. Older
files may belong to another tenant.
"""

import re
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from executor.domain.media_types import has_known_extension
from executor.domain.node_text import is_addressable

MAX_PATH = 400  # characters
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f]")
_ANNOTATED = re.compile(r"(.+) \[(output|temp)\]")  # suffix that ComfyUI's widgets append
_IN_FOLDER = re.compile(r"(?:.*/)?(output|temp)/(.+)")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:")
_ETAG = re.compile(r'(?:W/)?"([0-9a-f]{1,16})-[0-9a-f]{1,16}"')  # aiohttp's ETag: nanoseconds and size in hex

CLOCK_STEP_NS = 10_000_000  # file systems use the time of the kernel's last tick


class NodeFilePath(NamedTuple):
    """Exact name of a file on a node; ``folder`` is ComfyUI's ``type``: "output" or "temp"."""

    folder: str
    subfolder: str
    filename: str


def list_possible_files(text: str) -> tuple[NodeFilePath, ...]:
    """Return the possible places of the file that a string names, most likely first; empty if it names no file."""
    if len(text) > MAX_PATH or _NOT_IN_PATHS.search(text) or not is_addressable(text):
        return ()
    path = text.strip().replace("\\", "/")
    if annotated := _ANNOTATED.fullmatch(path):
        guesses = [(annotated[2], annotated[1])]
    else:
        inside = _IN_FOLDER.fullmatch(path)
        guesses = [(inside[1], inside[2])] if inside else []
        guesses += [("output", path), ("temp", path)]
    places = (_build_file_path(folder, name) for folder, name in guesses)
    return tuple(dict.fromkeys(place for place in places if place is not None))


def _build_file_path(folder: str, path: str) -> NodeFilePath | None:
    subfolder, _, filename = path.rpartition("/")
    if _ABSOLUTE.match(path) or ".." in path.split("/") or not has_known_extension(filename):
        return None
    return NodeFilePath(folder, subfolder, filename)


def parse_modified_ns(etag: str | None, last_modified: str | None) -> int | None:
    """Return a file's modification time from response headers, nanoseconds since the epoch; None when missing.

    Last-Modified has a precision of one second, so the time may be up to a second too early.
    """
    if found := _ETAG.fullmatch(etag or ""):
        return int(found[1], 16)
    try:
        return int(parsedate_to_datetime(last_modified or "").timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return None


def is_written_during_prompt(file_ns: int, started_ms: float) -> bool:
    """Whether a file was written after the prompt started; a node runs one prompt at a time."""
    return file_ns >= started_ms * 1_000_000 - CLOCK_STEP_NS
