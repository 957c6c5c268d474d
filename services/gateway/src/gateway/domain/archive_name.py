"""Names of files inside an archive that are safe wherever somebody unpacks it."""

import re
import unicodedata

MAX_CHARACTERS = 100
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows does not take for a file


class ArchiveNames:
    """Gives each file of one archive a name that no other has, on file systems that ignore case too."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, asked: str) -> str:
        """A name as close to the one asked for as can be: 1 to ``MAX_CHARACTERS`` characters, no folder, no control."""
        stem, dot, ending = _plain(asked).rpartition(".")
        if not stem:
            stem, dot, ending = ending, "", ""
        ending = (dot + ending)[:20]
        stem = stem[: MAX_CHARACTERS - 10 - len(ending)]
        name, number = stem + ending, 1
        while _folded(name) in self._given:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._given.add(_folded(name))
        return name


def _plain(asked: str) -> str:
    last = re.split(r"[/\\]", asked)[-1]
    visible = "".join("_" if unicodedata.category(sign).startswith("C") else sign for sign in last)
    name = _UNSAFE.sub("_", visible).strip(". ") or "output"
    return f"_{name}" if _DEVICES.fullmatch(name) else name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
