"""File names that are safe on every file system, for downloads and archives."""

import re
import unicodedata

MAX_BYTES = 240  # in UTF-8; file systems permit 255
MAX_ENDING = 20  # characters
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # reserved device names of Windows


class UniqueFileNames:
    """Gives each file of an archive a unique name, also on case-insensitive file systems."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, requested: str) -> str:
        """A name close to the requested one: 1 to ``MAX_BYTES`` bytes, without folders and control characters."""
        stem, ending = _split_extension(make_safe_name(requested))
        name, number = stem + ending, 1
        while _fold_case(name) in self._given:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._given.add(_fold_case(name))
        return name


def make_safe_name(requested: str) -> str:
    """Return a name of 1 to ``MAX_BYTES`` bytes, without folders, control characters and reserved characters."""
    last = re.split(r"[/\\]", requested)[-1]
    visible = "".join("_" if unicodedata.category(sign).startswith("C") else sign for sign in last)
    name = _UNSAFE.sub("_", visible).strip(". ") or "output"
    return "".join(_split_extension(f"_{name}" if _DEVICES.fullmatch(name) else name))


def _split_extension(name: str) -> tuple[str, str]:
    """Split a file name into stem and extension. The stem is cut so that a counter still fits."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = ending, "", ""
    ending = (dot + ending)[:MAX_ENDING]
    room = MAX_BYTES - 10 - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore"), ending


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
