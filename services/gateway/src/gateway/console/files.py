"""The files of the built web console, read once when the gateway starts."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUFFIX_BY_ENCODING = {"br": ".br", "gzip": ".gz"}
"""Content codings that the build stores beside a file, the smallest first, with the suffix of their files."""
INDEX_FILE = "index.html"
_CODING = re.compile(
    r"\s*([a-z0-9*-]+)\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[0-9.]+\s*)?"
)  # a weight of 0 means: not acceptable
INSTALLED_FOLDER = Path(__file__).with_name("built")
"""The folder of the console in a container image."""


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """One file: its media type, its bytes, and its compressed bytes by content coding."""

    media_type: str
    content: bytes
    compressed: Mapping[str, bytes]

    def choose_encoding(self, accepted: str) -> tuple[str | None, bytes]:
        """Return the content coding and bytes for an ``Accept-Encoding`` header; None is the file as it is."""
        allowed = {match[1] for match in map(_CODING.fullmatch, accepted.lower().split(",")) if match}
        for coding, content in self.compressed.items():
            if coding in allowed:
                return coding, content
        return None, self.content


def load_console(folder: Path | None) -> dict[str, ConsoleFile]:
    """Return the console's files by their path in the folder; empty if the console is not built.

    Args:
        folder: None for the console that is installed with the gateway, as in its image.
    """
    folder = folder or INSTALLED_FOLDER
    if not (folder / INDEX_FILE).is_file():
        return {}
    suffixes = tuple(SUFFIX_BY_ENCODING.values())
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(suffixes)]
    return {path.relative_to(folder).as_posix(): _load_file(path) for path in paths}


def _load_file(path: Path) -> ConsoleFile:
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media_type.startswith("text/") or media_type.endswith(("javascript", "json")):
        media_type += "; charset=utf-8"
    compressed_paths = {coding: path.with_name(path.name + suffix) for coding, suffix in SUFFIX_BY_ENCODING.items()}
    return ConsoleFile(
        media_type=media_type,
        content=path.read_bytes(),
        compressed={coding: file.read_bytes() for coding, file in compressed_paths.items() if file.is_file()},
    )
