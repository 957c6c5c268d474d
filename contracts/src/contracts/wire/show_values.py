"""Formats values for messages: short and printable, numbers with all digits."""

from typing import Any

MAX_SHOWN = 80  # maximum length of a value in a message, characters


def format_value(value: Any) -> str:
    """Format a value: short quoted text without control characters, a number, or the name of its type."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return format_number(value)
        case str():
            return f'"{make_printable(value)}"'
        case dict():
            return "an object"
        case _:
            return "a list"


def make_printable(text: str) -> str:
    """Return a text without unprintable characters, cut to ``MAX_SHOWN``."""
    cut = text[: MAX_SHOWN + 1]
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
    return shown if len(cut) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"


def format_number(value: int | float) -> str:
    """Format a number with all its digits; a whole number without an exponent."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**MAX_SHOWN else "a number of more than 80 digits"
    return str(int(value)) if value.is_integer() and abs(value) < 10**MAX_SHOWN else repr(value)
