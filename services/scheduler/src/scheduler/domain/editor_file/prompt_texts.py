"""Transforms texts as the editor does before it sends them: alternatives, comments and placeholders."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from scheduler.domain.editor_file.parse import InexactError

DrawNumber = Callable[[int], int]
"""Draws a random integer from 0 to below its argument."""
Parts = list["str | Parts"]
"""Pieces of a text, nested like its ``{a|b}`` blocks."""

MAX_BLOCKS = 1_000  # per text; real prompts have a dozen
MAX_FILE_NAME = 10_000  # characters of a file name with folders, its placeholders filled in

_COMMENT = re.compile(r"/\*|//")
_LINE_END = re.compile(r"[\n\r\u2028\u2029]")
_MARKS = re.compile(r"(\\.|[{}|])", re.DOTALL)
_ESCAPED = re.compile(r"\\([{}|])")
_PLACEHOLDER = re.compile(r"%([^%]+)%")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DATE = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyyy|yy")

# Classes in whose ``filename_prefix`` the editor fills placeholders.
SAVING_CLASSES = frozenset({
    *("SaveImage", "SaveImageAdvanced", "SaveSVGNode", "SaveVideo", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio"),
    *("SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "SaveGLB", "Save3DAdvanced", "SaveGaussianSplat"),
    *("SavePointCloud", "SaveAnimatedPNG", "CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent"),
})  # fmt: skip


def choose_alternatives(text: str, choose: DrawNumber) -> str:
    """Remove comments and choose one alternative of each ``{this|that}`` (``processDynamicPrompt`` of the editor).

    Raises:
        InexactError: the text has more than ``MAX_BLOCKS`` blocks.
    """
    text = _remove_comments(text)
    if text.count("{") > MAX_BLOCKS:
        raise InexactError(f"One of its texts has more than {MAX_BLOCKS} alternatives in braces.")
    return _ESCAPED.sub(r"\1", _choose_alternative(text, choose) if "{" in text else text)


def _choose_alternative(text: str, choose: DrawNumber) -> str:
    parts: Parts = []
    around: list[tuple[Parts, list[Parts]]] = []  # of each open block: the enclosing parts, and its options so far
    for piece in _MARKS.split(text):
        if piece == "{":
            around.append((parts, []))
            parts = []
        elif piece == "|" and around:
            around[-1][1].append(parts)
            parts = []
        elif piece == "}" and around:
            parts = _close_block(parts, *around.pop(), choose)
        else:
            parts.append(piece)
    while around:
        parts = _close_block(parts, *around.pop(), choose)
    return _join_parts(parts)


def fill_placeholders(prefix: str, now: datetime, value_of: Callable[[str, str], Any]) -> str:
    """Fill the placeholders ``%date:yyyy-MM-dd%`` and ``%Node.widget%`` of a file name.

    Args:
        prefix: the file name.
        now: time for dates.
        value_of: returns the value of a widget by node name and widget name; None if there is none, and then the
            placeholder stays.

    Raises:
        InexactError: the name has more than ``MAX_FILE_NAME`` characters, or a placeholder stands for several values.
    """
    size = len(prefix)

    def fill_placeholder(found: re.Match[str]) -> str:
        nonlocal size
        node, dot, widget = found[1].partition(".")
        if not dot or "." in widget:
            return _format_date(node.removeprefix("date:"), now) if node.startswith("date:") and not dot else found[0]
        value = value_of(node, widget)
        if value is None:
            return found[0]
        if isinstance(value, list | dict):
            raise InexactError("A placeholder in its file name stands for several values.")
        written = _format_value(value)
        size += len(written)
        _check_file_name(size)
        return _UNSAFE.sub("_", written)

    _check_file_name(size)
    return _PLACEHOLDER.sub(fill_placeholder, prefix)


def _check_file_name(size: int) -> None:
    if size > MAX_FILE_NAME:
        raise InexactError(f"Its file name has more than {MAX_FILE_NAME} characters.")


def _close_block(last: Parts, outer: Parts, options: list[Parts], choose: DrawNumber) -> Parts:
    """Close a block: append one of its options to the enclosing parts, and return these."""
    options.append(last)
    outer.append(options[choose(len(options))])
    return outer


def _join_parts(parts: Parts) -> str:
    """Join nested parts to a text. Iterative, because blocks may be nested as deeply as the text is long."""
    pieces: list[str] = []
    todo: list[Iterator[str | Parts]] = [iter(parts)]
    while todo:
        part = next(todo[-1], None)
        if part is None:
            todo.pop()
        elif isinstance(part, str):
            pieces.append(part)
        else:
            todo.append(iter(part))
    return "".join(pieces)


def _remove_comments(text: str) -> str:
    """Remove ``/* */`` and ``//`` comments. Linear time."""
    pieces: list[str] = []
    place, has_ends = 0, True
    while found := _COMMENT.search(text, place):
        start = found.start()
        if found[0] == "//":
            line_end = _LINE_END.search(text, start)
            end = line_end.start() if line_end else len(text)
        else:
            end = text.find("*/", start + 2) + 2 if has_ends else 1
            if end == 1:  # later comments are not closed either
                has_ends = False
                pieces.append(text[place : start + 1])
                place = start + 1
                continue
        pieces.append(text[place:start])
        place = end
    return "".join(pieces) + text[place:]


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _format_date(form: str, now: datetime) -> str:
    numbers: Mapping[str, int] = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def write_number(found: re.Match[str]) -> str:
        mark = found[0]
        if mark.startswith("y"):
            return str(now.year)[-len(mark) :]
        return str(numbers[mark[0]]).zfill(len(mark))

    return _DATE.sub(write_number, form)
