"""Text that a node says, made fit to be repeated: hostile input until it has passed through here.

A custom node may put anything into an error, a file name or a class name: NUL, halves of surrogate pairs (Python makes
them of file names that are not UTF-8), megabytes. Messages, the journal and PostgreSQL hold none of these.
"""

import re
from typing import Any

from contracts.wire.text import MAX_NAME, clean, is_clean

MAX_RAW = 4_000  # characters of an error text that are looked at; what a node says may be megabytes
MAX_FILE_NAME = 255  # characters of what a tenant sees
NAME_END = 40  # of them that stay where a name is longer: its counter and its extension
MAX_TERM = 300  # characters of a class, an input or an option

_NOT_IN_FILE_NAMES = re.compile(r"[\x00-\x1f\x7f/\\]")
_UNADDRESSABLE = re.compile("[\x00\ud800-\udfff]")
_NOT_GIVEN_OUT = re.compile(r"\.\.|[\r\n]|^/")


def name_of(value: Any) -> str | None:
    """The id of a node or the name of a class as it is told, None for what is no text."""
    return clean(value, MAX_NAME) if isinstance(value, str) else None


def raw_text(value: Any) -> str:
    """The beginning of a text, not cleaned yet: to be searched, and to be shortened further. "" for what is none."""
    return value[:MAX_RAW] if isinstance(value, str) else ""


def shown_file_name(name: str) -> str:
    """A file's name as a tenant sees it: without folders and control characters, shorter in its middle if need be."""
    last = name[-4 * MAX_FILE_NAME :].replace("\\", "/").rpartition("/")[2]
    plain = _NOT_IN_FILE_NAMES.sub("_", last)
    if len(plain) > MAX_FILE_NAME:
        plain = plain[: MAX_FILE_NAME - NAME_END] + plain[-NAME_END:]
    return clean(plain, MAX_FILE_NAME)


def is_addressable(*names: str) -> bool:
    """Whether a URL can name this file.

    A name with a lone surrogate stands for bytes that are not UTF-8. aiohttp, which serves ComfyUI's /view, replaces
    such bytes of a query by U+FFFD and refuses them where they are not percent-encoded: no request reaches that file.
    """
    return not any(_UNADDRESSABLE.search(name) for name in names)


def is_given_out(filename: str) -> bool:
    """Whether /view gives out a file of this name: none with two dots in a row, with a line end, or absolute."""
    return _NOT_GIVEN_OUT.search(filename) is None


def is_term(value: Any) -> bool:
    """Whether a graph can use this as the name of a class or an input, or as an option."""
    return isinstance(value, str) and len(value) <= MAX_TERM and is_clean(value)
