"""Paths and modification times of files on a node, and files that a node reports as plain strings.

3D previews and some packs report ``"3d/mesh.glb"`` instead of an object. Such a string looks like any text, which a
tenant may have chosen, so it is taken for a file name only if the file was written during the prompt. Older files may
belong to another tenant, and so may newer ones: the next prompt runs while these names are looked up.
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
    """When a file was modified, by its node's clock: ``ns`` to ``ns + uncertainty_ns`` nanoseconds since the epoch."""

    ns: int
    uncertainty_ns: int = 0


class RunPeriod(NamedTuple):
    """When a prompt ran, by its node's clock: milliseconds since the epoch."""

    start_ms: float
    end_ms: float


def list_possible_files(text: str) -> tuple[NodeFilePath, ...]:
    """Return the paths of the files that a string may name, most likely first; empty if it cannot name a file."""
    if len(text) > MAX_PATH or _NOT_IN_PATHS.search(text) or not is_addressable(text):
        return ()
    path = text.strip().replace("\\", "/")
    if annotated := _ANNOTATED.fullmatch(path):
        guesses = [(annotated[2], annotated[1])]
    else:
        inside = _IN_FOLDER.fullmatch(path)
        guesses = [(inside[1], inside[2])] if inside else []
        guesses += [("output", path), ("temp", path)]
    paths = (_build_file_path(folder, name) for folder, name in guesses)
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def _build_file_path(folder: str, path: str) -> NodeFilePath | None:
    subfolder, _, filename = path.rpartition("/")
    if _ABSOLUTE.match(path) or ".." in path.split("/") or not has_known_extension(filename):
        return None
    return NodeFilePath(folder, subfolder, filename)


def parse_modified_time(etag: str | None, last_modified: str | None) -> ModifiedTime | None:
    """Return when a file was modified, from response headers; None if they do not say."""
    if found := _ETAG.fullmatch(etag or ""):
        return ModifiedTime(int(found[1], 16))
    try:
        seconds = int(parsedate_to_datetime(last_modified or "").timestamp())
    except (ValueError, OverflowError):
        return None
    return ModifiedTime(seconds * SECOND_NS, uncertainty_ns=SECOND_NS)  # Last-Modified has a precision of one second


def is_written_during_prompt(modified: ModifiedTime, run_period: RunPeriod) -> bool:
    """Whether a file was certainly written while the prompt ran; a node runs one prompt at a time."""
    return (
        modified.ns >= run_period.start_ms * MILLISECOND_NS - CLOCK_STEP_NS
        # ComfyUI rounds the end down to milliseconds.
        and modified.ns + modified.uncertainty_ns < (run_period.end_ms + 1) * MILLISECOND_NS
    )
