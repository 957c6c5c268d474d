"""Files that a node reports as plain strings.

3D previews and some packs report ``"3d/mesh.glb"`` instead of an object. Such a string cannot be told from a text, and
a text may come from a tenant, so a string is taken for a file only if the file was written during the prompt. Older
files may belong to another tenant, and so may newer ones: the next prompt runs while these names are looked up.
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
MILLISECOND_NS, SECOND_NS = 1_000_000, 1_000_000_000


class NodeFilePath(NamedTuple):
    """Exact name of a file on a node; ``folder`` is ComfyUI's ``type``: "output" or "temp"."""

    folder: str
    subfolder: str
    filename: str


class ModifiedTime(NamedTuple):
    """When a file was modified, by its node's clock: nanoseconds since the epoch, and at most so much later."""

    ns: int
    uncertainty_ns: int = 0


class RunPeriod(NamedTuple):
    """When a prompt ran, by its node's clock: milliseconds since the epoch."""

    start_ms: float
    end_ms: float


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


def parse_modified_time(etag: str | None, last_modified: str | None) -> ModifiedTime | None:
    """Return when a file was modified, from response headers; None when missing.

    Last-Modified has a precision of one second.
    """
    if found := _ETAG.fullmatch(etag or ""):
        return ModifiedTime(int(found[1], 16))
    try:
        seconds = int(parsedate_to_datetime(last_modified or "").timestamp())
    except (ValueError, OverflowError):
        return None
    return ModifiedTime(seconds * SECOND_NS, uncertainty_ns=SECOND_NS)


def is_written_during_prompt(modified: ModifiedTime, ran: RunPeriod) -> bool:
    """Whether a file was certainly written while the prompt ran; a node runs one prompt at a time."""
    return (
        modified.ns >= ran.start_ms * MILLISECOND_NS - CLOCK_STEP_NS
        and modified.ns + modified.uncertainty_ns < (ran.end_ms + 1) * MILLISECOND_NS  # the end is cut to milliseconds
    )
