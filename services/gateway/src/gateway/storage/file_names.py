"""File names that are safe on every file system, for downloads and archives."""

import re
import unicodedata

MAX_BYTES = 240  # bytes in UTF-8; file systems permit 255
MAX_EXTENSION = 20  # characters
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # reserved device names of Windows


class UniqueFileNames:
    """Gives each file of an archive a unique name, also on case-insensitive file systems."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def make_unique(self, requested: str) -> str:
        """Return a unique name close to the requested one; see ``make_safe_name``."""
        stem, extension = _split_extension(make_safe_name(requested))
        name, number = stem + extension, 1
        while _fold_case(name) in self._used:
            number += 1
            name = f"{stem}-{number}{extension}"
        self._used.add(_fold_case(name))
        return name


def make_safe_name(requested: str) -> str:
    """Return a name of 1 to ``MAX_BYTES`` bytes, without folders, control characters and reserved characters."""
    base_name = re.split(r"[/\\]", requested)[-1]
    printable = "".join("_" if unicodedata.category(char).startswith("C") else char for char in base_name)
    name = _UNSAFE.sub("_", printable).strip(". ") or "output"
    return "".join(_split_extension(f"_{name}" if _DEVICES.fullmatch(name) else name))


def _split_extension(name: str) -> tuple[str, str]:
    """Split a file name into stem and extension. The stem is cut so that a counter still fits."""
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = extension, "", ""
    extension = (dot + extension)[:MAX_EXTENSION]
    max_stem_bytes = MAX_BYTES - 10 - len(extension.encode())
    return stem.encode()[:max_stem_bytes].decode(errors="ignore"), extension


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
