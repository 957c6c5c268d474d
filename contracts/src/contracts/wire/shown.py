"""Values as messages show them: short, printable, every number with all its digits."""

from typing import Any

MAX_SHOWN = 80  # characters of a value in a message


def shown(value: Any) -> str:
    """A value as a message shows it: a short text in quotes without control characters, a number, or what it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case str():
            return f'"{plain(value)}"'
        case dict():
            return "an object"
        case _:
            return "a list"


def plain(text: str) -> str:
    """A text without characters that are not printable, cut to ``MAX_SHOWN``."""
    cut = text[: MAX_SHOWN + 1]
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
    return printable if len(cut) <= MAX_SHOWN else printable[: MAX_SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(value: int | float) -> str:
    """A number with every digit that it has, and no exponent where it is whole."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**MAX_SHOWN else "a number of more than 80 digits"
    return str(int(value)) if value.is_integer() and abs(value) < 10**MAX_SHOWN else repr(value)
