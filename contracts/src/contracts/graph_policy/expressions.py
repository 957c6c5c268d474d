"""Checks that arithmetic written by users for ComfyMathExpression has a bounded cost.

ComfyUI evaluates it with simpleeval. That library protects the process but computes integers of any size and blocks the
process meanwhile: ``pow(pow(pow(9, 4000), 4000), 4000)`` and ``round(1, -9999999999)`` never finish.
"""

import re
from collections.abc import Iterator

MAX_LENGTH = 1_000
MAX_POWERS = 2
MAX_EXPONENT = 16
_TOKEN = re.compile(
    r"\s*(?:(?:\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+)(?![\w.])|[A-Za-z_]\w*"
    r"|\*\*|//|<=|>=|==|!=|[-+*/%(),&|^~]|<(?!<)|>(?!>))"
)
_WORDS = frozenset({"and", "or", "not", "if", "else", "True", "False", "values"})
_FUNCTIONS = frozenset(
    {"sum", "min", "max", "abs", "sqrt", "ceil", "floor", "log", "log2", "log10", "sin", "cos", "tan", "int", "float"}
)
_EXPONENT = re.compile(r"\d{1,2}")


def has_bounded_cost(expression: str) -> bool:
    """Whether an expression takes at most milliseconds for any 64-bit values of its variables.

    True only for numbers, one-letter variables, ``values``, comparisons, arithmetic, and the functions of the class,
    with at most ``MAX_POWERS`` powers, each with a literal exponent up to ``MAX_EXPONENT``. Linear in the text.
    """
    if len(expression) > MAX_LENGTH:
        return False
    tokens = list(_split_tokens(expression))
    return bool(tokens) and "" not in tokens and all(map(_is_allowed_token, tokens)) and _powers_are_bounded(tokens)


def _split_tokens(expression: str) -> Iterator[str]:
    """Split into tokens. An invalid character ends the list with an empty token."""
    position, end = 0, len(expression.rstrip())
    while position < end:
        found = _TOKEN.match(expression, position, end)
        if found is None:
            yield ""
            return
        yield found.group().strip()
        position = found.end()


def _is_allowed_token(token: str) -> bool:
    if not (token[0].isalpha() or token[0] == "_"):
        return True
    return len(token) == 1 or token in _WORDS or token in _FUNCTIONS or token in {"pow", "round"}


def _powers_are_bounded(tokens: list[str]) -> bool:
    powers = tokens.count("**") + tokens.count("pow")
    if powers > MAX_POWERS:
        return False
    for index, word in enumerate(tokens):
        if word == "**" and (
            not _is_exponent(tokens[index + 1 : index + 2]) or tokens[index + 2 : index + 3] == ["**"]
        ):
            return False
        if word == "pow" and not _is_exponent(_find_last_argument(tokens, index + 1)):
            return False
        if word == "round" and _find_last_argument(tokens, index + 1) is not None:
            return False
    return True


def _is_exponent(tokens: list[str] | None) -> bool:
    return (
        tokens is not None
        and len(tokens) == 1
        and bool(_EXPONENT.fullmatch(tokens[0]))
        and int(tokens[0]) <= MAX_EXPONENT
    )


def _find_last_argument(tokens: list[str], start: int) -> list[str] | None:
    """Return the tokens of a call's last argument; None if there is no call or it has no comma."""
    depth, comma = 0, None
    for index in range(start, len(tokens)):
        match tokens[index]:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case "," if depth == 1:
                comma = index
        if depth == 0:
            return None if comma is None else tokens[comma + 1 : index]
    return []
