"""Messages about a body that is not valid JSON. Lines and columns count characters from 1."""

import io
import re
from itertools import islice

from contracts.wire.errors import FieldError

MAX_SHOWN = 80  # characters of a key
MAX_LINES = 100_000  # reading more lines to find one takes too long

_PARSER_MESSAGE = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_DUPLICATE_KEY = re.compile(r'Detected duplicate key "(.*)"', re.DOTALL)
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_REASONS = {"expected ident": "expected true, false or null", "expected value": "expected a JSON value"}
_FIRST_BYTES = frozenset(bytes((byte,)) for byte in b'{["-0123456789')  # first bytes of a JSON value
_HINTS = {  # by the text at which the parser stops
    b"'": "Strings need double quotes.",
    **dict.fromkeys((b"True", b"False", b"None"), "Write true, false and null in lower case, as JSON does."),
    **dict.fromkeys((b"//", b"/*", b"#"), "JSON has no comments. Remove the comment."),
}


def describe_parser_error(body: bytes, error: ValueError) -> FieldError:
    """Return the code and the message for a body that jiter refused."""
    if not _is_utf8(body):
        return FieldError(code="json_encoding", message="The body is not UTF-8.")
    if not body.strip():
        return _build_json_error("The body is empty. Send JSON.")
    matched = _PARSER_MESSAGE.fullmatch(str(error))
    return (
        _describe_fault(body, *matched.groups()) if matched is not None else _build_json_error("The body is not JSON.")
    )


def _describe_fault(body: bytes, reason: str, line_number: str, column_number: str) -> FieldError:
    line, column = _find_line(body, int(line_number)), int(column_number)
    if (duplicate := _DUPLICATE_KEY.fullmatch(reason)) is not None:
        where = f"line {line_number}, column {_convert_column_to_characters(line, _find_start_of_key(line, column))}"
        message = (
            f'The key "{shorten_key(duplicate[1])}" is in one object twice, the second time at {where}. Remove one of '
            "them. If they are two nodes, give one of them another id."
        )
        return FieldError(code="json_duplicate_key", message=message)
    where = f"line {line_number}, column {_convert_column_to_characters(line, column)}"
    if reason.startswith("recursion limit"):
        return FieldError(code="json_depth", message=f"The body is nested too deeply at {where}.")
    if "hex escape" in reason and _ESCAPED_SURROGATE.search(line, max(0, column - 14), column):
        return FieldError(code="json_surrogate", message=f"The text at {where} has half of a surrogate pair.")
    message = _describe_syntax_error(reason, where, line[column - 1 :])
    if reason == "expected value" and body.lstrip()[:1] not in _FIRST_BYTES:
        message += ' Send a JSON object, such as {"name": "value"}.'
    return _build_json_error(message)


def shorten_key(key: str) -> str:
    """Return a key as a message shows it: without characters that are not printable, cut to ``MAX_SHOWN``."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in key[: MAX_SHOWN + 1])
    return printable if len(key) <= MAX_SHOWN else printable[: MAX_SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _describe_syntax_error(reason: str, where: str, rest: bytes) -> str:
    if reason == "trailing comma":
        return f"The comma before the closing bracket at {where} is not allowed. Remove the comma."
    if reason.startswith("EOF"):
        return f"The JSON ends too early, at {where}: a closing bracket or quote is missing."
    hint = next((f" {hint}" for mark, hint in _HINTS.items() if rest.startswith(mark)), "")
    return f"Invalid JSON at {where}: {_REASONS.get(reason, reason)}.{hint}"


def _find_line(body: bytes, number: int) -> bytes:
    """Return the line with this number, from 1; empty where there are more than ``MAX_LINES`` before it."""
    return next(islice(io.BytesIO(body), number - 1, number), b"") if number <= MAX_LINES else b""


def _find_start_of_key(line: bytes, column: int) -> int:
    """Return the column of the key, where the parser names the column behind its colon."""
    key = line[: column - 1].rstrip().removesuffix(b":").rstrip()
    return key.rfind(b'"', 0, -1) + 1 or column


def _convert_column_to_characters(line: bytes, column: int) -> int:
    """Return the column that the parser counts in bytes, in characters."""
    return column - len(line[:column]) + len(line[:column].decode(errors="ignore"))


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _build_json_error(message: str) -> FieldError:
    return FieldError(code="json_invalid", message=message)
