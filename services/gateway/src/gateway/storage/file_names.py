"""Names of files that are safe wherever somebody saves them: downloads, and files inside of an archive."""

import re
import unicodedata

MAX_BYTES = 240  # in UTF-8; file systems take 255
MAX_ENDING = 20  # characters
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows does not take for a file


class ArchiveNames:
    """Gives each file of one archive a name that no other has, on file systems that ignore case too."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, asked: str) -> str:
        """A name as close to the one asked for as can be: 1 to ``MAX_BYTES`` bytes, no folder, no control."""
        stem, ending = _split(safe_name(asked))
        name, number = stem + ending, 1
        while _folded(name) in self._given:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._given.add(_folded(name))
        return name


def safe_name(asked: str) -> str:
    """A name of 1 to ``MAX_BYTES`` bytes, without folder, control characters, and what a file system may not take."""
    last = re.split(r"[/\\]", asked)[-1]
    visible = "".join("_" if unicodedata.category(sign).startswith("C") else sign for sign in last)
    name = _UNSAFE.sub("_", visible).strip(". ") or "output"
    return "".join(_split(f"_{name}" if _DEVICES.fullmatch(name) else name))


def _split(name: str) -> tuple[str, str]:
    """Split a file name into stem and extension. The stem is cut so that a counter still fits."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = ending, "", ""
    ending = (dot + ending)[:MAX_ENDING]
    room = MAX_BYTES - 10 - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore"), ending


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
