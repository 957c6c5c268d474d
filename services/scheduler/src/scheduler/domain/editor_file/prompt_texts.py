"""Transforms text as the editor does before it sends it: alternatives, comments and placeholders."""

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


def resolve_dynamic_prompt(text: str, draw_number: DrawNumber) -> str:
    """Remove comments and choose one alternative of each ``{this|that}`` (``processDynamicPrompt`` of the editor).

    Raises:
        InexactError: the text has more than ``MAX_BLOCKS`` blocks.
    """
    text = _remove_comments(text)
    if text.count("{") > MAX_BLOCKS:
        raise InexactError(f"One of its texts has more than {MAX_BLOCKS} alternatives in braces.")
    return _ESCAPED.sub(r"\1", _choose_alternative(text, draw_number) if "{" in text else text)


def _choose_alternative(text: str, draw_number: DrawNumber) -> str:
    parts: Parts = []
    open_blocks: list[tuple[Parts, list[Parts]]] = []  # per block: the enclosing parts, and its options so far
    for piece in _MARKS.split(text):
        if piece == "{":
            open_blocks.append((parts, []))
            parts = []
        elif piece == "|" and open_blocks:
            open_blocks[-1][1].append(parts)
            parts = []
        elif piece == "}" and open_blocks:
            parts = _append_drawn_option(parts, *open_blocks.pop(), draw_number)
        else:
            parts.append(piece)
    while open_blocks:
        parts = _append_drawn_option(parts, *open_blocks.pop(), draw_number)
    return _join_parts(parts)


def fill_placeholders(prefix: str, now: datetime, read_value: Callable[[str, str], Any]) -> str:
    """Fill the placeholders ``%date:yyyy-MM-dd%`` and ``%Node.widget%`` of a file name.

    Args:
        prefix: the file name.
        now: time for dates.
        read_value: returns the value of a widget by node name and widget name. If it returns None, the placeholder
            stays.

    Raises:
        InexactError: the name has more than ``MAX_FILE_NAME`` characters, or a placeholder stands for several values.
    """
    size = len(prefix)

    def fill_placeholder(found: re.Match[str]) -> str:
        nonlocal size
        node, dot, widget = found[1].partition(".")
        if not dot or "." in widget:
            return _format_date(node.removeprefix("date:"), now) if node.startswith("date:") and not dot else found[0]
        value = read_value(node, widget)
        if value is None:
            return found[0]
        if isinstance(value, list | dict):
            raise InexactError("A placeholder in its file name stands for several values.")
        formatted = _format_value(value)
        size += len(formatted)
        _check_file_name(size)
        return _UNSAFE.sub("_", formatted)

    _check_file_name(size)
    return _PLACEHOLDER.sub(fill_placeholder, prefix)


def _check_file_name(size: int) -> None:
    if size > MAX_FILE_NAME:
        raise InexactError(f"Its file name has more than {MAX_FILE_NAME} characters.")


def _append_drawn_option(last: Parts, outer: Parts, options: list[Parts], draw_number: DrawNumber) -> Parts:
    """Draw one option of a ``{a|b}`` block and append it to the enclosing parts. Returns the enclosing parts."""
    options.append(last)
    outer.append(options[draw_number(len(options))])
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
    position, may_close = 0, True
    while found := _COMMENT.search(text, position):
        start = found.start()
        if found[0] == "//":
            line_end = _LINE_END.search(text, start)
            end = line_end.start() if line_end else len(text)
        else:
            end = text.find("*/", start + 2) + 2 if may_close else 1
            if end == 1:  # later comments are not closed either
                may_close = False
                pieces.append(text[position : start + 1])
                position = start + 1
                continue
        pieces.append(text[position:start])
        position = end
    return "".join(pieces) + text[position:]


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _format_date(pattern: str, now: datetime) -> str:
    numbers: Mapping[str, int] = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def format_number(found: re.Match[str]) -> str:
        mark = found[0]
        if mark.startswith("y"):
            return str(now.year)[-len(mark) :]
        return str(numbers[mark[0]]).zfill(len(mark))

    return _DATE.sub(format_number, pattern)
