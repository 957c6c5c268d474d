"""What the editor makes of texts before it sends them."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from scheduler.domain.editor_file.file import InexactError

Choose = Callable[[int], int]
"""Draws a random integer from 0 to below its argument."""
Parts = list["str | Parts"]
"""Pieces of a text, nested as its blocks are."""

MAX_BLOCKS = 1_000  # of one text; prompts have a dozen

_COMMENT = re.compile(r"/\*|//")
_LINE_END = re.compile(r"[\n\r\u2028\u2029]")
_MARKS = re.compile(r"(\\.|[{}|])", re.DOTALL)
_ESCAPED = re.compile(r"\\([{}|])")
_PLACEHOLDER = re.compile(r"%([^%]+)%")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DATE = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyyy|yy")

# Classes whose ``filename_prefix`` the editor fills in.
SAVING = frozenset({
    *("SaveImage", "SaveImageAdvanced", "SaveSVGNode", "SaveVideo", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio"),
    *("SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "SaveGLB", "Save3DAdvanced", "SaveGaussianSplat"),
    *("SavePointCloud", "SaveAnimatedPNG", "CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent"),
})  # fmt: skip


def chosen(text: str, choose: Choose) -> str:
    """The text without comments, with one of each ``{this|that}`` (``processDynamicPrompt``).

    Raises:
        InexactError: it has more than ``MAX_BLOCKS`` of them.
    """
    text = _without_comments(text)
    if text.count("{") > MAX_BLOCKS:
        raise InexactError(f"A text of it has more than {MAX_BLOCKS} alternatives in braces.")
    return _ESCAPED.sub(r"\1", _chosen(text, choose) if "{" in text else text)


def _chosen(text: str, choose: Choose) -> str:
    parts: Parts = []
    around: list[tuple[Parts, list[Parts]]] = []  # of each block that is open: what it is in, and its options so far
    for piece in _MARKS.split(text):
        if piece == "{":
            around.append((parts, []))
            parts = []
        elif piece == "|" and around:
            around[-1][1].append(parts)
            parts = []
        elif piece == "}" and around:
            parts = _closed(parts, *around.pop(), choose)
        else:
            parts.append(piece)
    while around:
        parts = _closed(parts, *around.pop(), choose)
    return _joined(parts)


def filled_in(prefix: str, now: datetime, value_of: Callable[[str, str], Any]) -> str:
    """A file name with its placeholders filled in: ``%date:yyyy-MM-dd%`` and ``%Node.widget%``.

    Args:
        value_of: of a widget, by the name of a node and its own; None where there is none.
    """

    def fill(found: re.Match[str]) -> str:
        node, dot, widget = found[1].partition(".")
        if not dot or "." in widget:
            return _date(node.removeprefix("date:"), now) if node.startswith("date:") and not dot else found[0]
        value = value_of(node, widget)
        return found[0] if value is None else _UNSAFE.sub("_", _as_text(value))

    return _PLACEHOLDER.sub(fill, prefix)


def _closed(last: Parts, outer: Parts, options: list[Parts], choose: Choose) -> Parts:
    """What a block is in, with one of the options at its end."""
    options.append(last)
    outer.append(options[choose(len(options))])
    return outer


def _joined(parts: Parts) -> str:
    """The text of nested parts, without recursion: blocks may be nested as deep as a text is long."""
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


def _without_comments(text: str) -> str:
    """Without ``/* */`` and ``//`` to the end of a line. Takes time by the length of the text."""
    pieces: list[str] = []
    place, has_ends = 0, True
    while found := _COMMENT.search(text, place):
        start = found.start()
        if found[0] == "//":
            line_end = _LINE_END.search(text, start)
            end = line_end.start() if line_end else len(text)
        else:
            end = text.find("*/", start + 2) + 2 if has_ends else 1
            if end == 1:  # none of the later ones ends, either
                has_ends = False
                pieces.append(text[place : start + 1])
                place = start + 1
                continue
        pieces.append(text[place:start])
        place = end
    return "".join(pieces) + text[place:]


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _date(form: str, now: datetime) -> str:
    numbers: Mapping[str, int] = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def write(found: re.Match[str]) -> str:
        mark = found[0]
        if mark.startswith("y"):
            return str(now.year)[-len(mark) :]
        return str(numbers[mark[0]]).zfill(len(mark))

    return _DATE.sub(write, form)
