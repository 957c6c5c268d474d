"""What is wrong with a text that is not JSON, with line and column, both counted from 1."""

import json
import re

MAX_SHOWN = 80  # characters of a key

_TOKEN = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}\[\]]', re.DOTALL)
_LAST_COMMA = re.compile(r",(\s*)\Z")
_CLOSING = frozenset({"}", "]"})
_FOREIGN = {  # what other notations have where JSON has a value
    "'": "there is a text in single quotes. JSON has double quotes.",
    **dict.fromkeys(("True", "False", "None"), "there is a Python value. JSON has true, false and null."),
    **dict.fromkeys(("//", "/*", "#"), "there is a comment. JSON has none."),
}
_REASONS = {
    "Expecting value": "this is not a JSON value",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Extra data": "the JSON ended before, and more follows",
}


def find_syntax_error(error: json.JSONDecodeError) -> str:
    """A sentence that says where the text stops being JSON, and what to do where that is plain."""
    text, at = error.doc, error.pos
    if not text.strip():
        return "The body is empty. Send JSON."
    comma = _trailing_comma(text, at)
    if comma is not None:
        return f"The comma at {_place(text, comma)} has nothing after it before the closing bracket. Remove the comma."
    where = _place(text, at)
    if at >= len(text):
        return f"The JSON ends too early, at {where}: a closing bracket or quote is missing."
    foreign = next((says for mark, says in _FOREIGN.items() if text.startswith(mark, at)), None)
    if foreign is not None:
        return f"Invalid JSON at {where}: {foreign}"
    return f"Invalid JSON at {where}: {_REASONS.get(error.msg, error.msg[:1].lower() + error.msg[1:])}."


def find_duplicate_key(text: str) -> str:
    """A sentence that names the first key that an object of this JSON has twice."""
    keys: list[set[str]] = []  # of the objects around; those of lists stay empty
    for token in _TOKEN.finditer(text):
        quoted, colon = token.groups()
        if quoted is None:
            if token[0] in _CLOSING:
                keys.pop()
            else:
                keys.append(set())
        elif colon is not None:
            key = str(json.loads(quoted, strict=False))
            if key in keys[-1]:
                where = _place(text, token.start())
                return f'The key "{shown_key(key)}" at {where} is in the same object twice. Keep one of them.'
            keys[-1].add(key)
    return "An object has a key twice."


def _trailing_comma(text: str, at: int) -> int | None:
    """Where a comma before a closing bracket is, if that is what is wrong here."""
    if text[at : at + 1] in _CLOSING and (found := _LAST_COMMA.search(text[max(0, at - 1000) : at])):
        return at - len(found[0])
    is_comma = text.startswith(",", at) and text[at + 1 :].lstrip()[:1] in _CLOSING  # as newer Pythons tell it
    return at if is_comma else None


def _place(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def shown_key(key: str) -> str:
    """A key as a message shows it: without characters that are not printable, cut to ``MAX_SHOWN``."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in key[: MAX_SHOWN + 1])
    return printable if len(key) <= MAX_SHOWN else printable[: MAX_SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"
