"""Sanitizes text from a node, which is hostile input.

A custom node may put anything into an error, a file name or a class name: NUL, lone surrogates (Python creates them for
file names that are not UTF-8), megabytes. Messages, the journal and PostgreSQL cannot hold these.
"""

import re
from typing import Any

from contracts.wire.text import MAX_NAME, clean_text, is_clean_text

MAX_TEXT_LENGTH = 4_000  # characters of an error text that are processed; nodes may send megabytes
MAX_FILE_NAME = 255  # characters shown to a tenant
NAME_END = 40  # characters kept at the end of a longer name: counter and extension
MAX_NAME_LENGTH = 300  # characters of a class, input or option name

TEMPORARY_PREFIX = "ComfyUI_temp"  # without the random letters that ComfyUI appends

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_NOT_IN_FILE_NAMES = re.compile(r"[\x00-\x1f\x7f/\\]")
_UNADDRESSABLE = re.compile("[\x00\ud800-\udfff]")
_NOT_SERVABLE = re.compile(r"\.\.|[\r\n]|^/")


def clean_name(value: Any) -> str | None:
    """Return a sanitized node id or class name; None if the value is not a string."""
    return clean_text(value, MAX_NAME) if isinstance(value, str) else None


def truncate_text(value: Any) -> str:
    """Return the beginning of a text, unsanitized; "" if the value is not a string."""
    return value[:MAX_TEXT_LENGTH] if isinstance(value, str) else ""


def format_file_name(name: str) -> str:
    """Return a file name for tenants: no folders, no control characters, shortened in the middle."""
    last = name[-4 * MAX_FILE_NAME :].replace("\\", "/").rpartition("/")[2]
    plain = _NOT_IN_FILE_NAMES.sub("_", last)
    if len(plain) > MAX_FILE_NAME:
        plain = plain[: MAX_FILE_NAME - NAME_END] + plain[-NAME_END:]
    return clean_text(plain, MAX_FILE_NAME)


def format_temporary_name(name: str, number: int | None = None) -> str:
    """Return a neutral name for a temporary file, with its extension. The node's own name is not for tenants."""
    extension = _EXTENSION.search(name)
    counter = "" if number is None else f"_{number:05}"
    return f"{TEMPORARY_PREFIX}{counter}_{extension[0] if extension else ''}"


def is_addressable(*names: str) -> bool:
    """Whether a URL can name this file.

    A name with a lone surrogate contains bytes that are not UTF-8. aiohttp, which serves ComfyUI's /view, replaces such
    bytes in a query by U+FFFD, so no request can reach that file.
    """
    return not any(_UNADDRESSABLE.search(name) for name in names)


def is_servable(filename: str) -> bool:
    """Whether /view returns a file of this name: it refuses "..", line breaks and absolute paths."""
    return _NOT_SERVABLE.search(filename) is None


def is_valid_name(value: Any) -> bool:
    """Whether a graph can contain this text as a class, input or option name."""
    return isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and is_clean_text(value)
