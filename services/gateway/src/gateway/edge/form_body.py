"""Parses URL-encoded forms."""

from typing import NoReturn
from urllib.parse import parse_qsl

from contracts.wire.errors import FieldError
from gateway.edge.errors import Malformed

MAX_FORM_BYTES = 8192
MAX_FIELDS = 16


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        Malformed: the body is not a form, or is ambiguous.
    """
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), encoding="utf-8",
            errors="strict", max_num_fields=MAX_FIELDS,
        )  # fmt: skip
    except ValueError:  # also raised for bytes that are not ASCII, or not UTF-8 once decoded
        _refuse_form("form_invalid", "The body is not a URL-encoded form.")
    form = dict(fields)
    if len(form) != len(fields):
        _refuse_form("form_duplicate_key", "The form contains a field twice.")
    if any("\x00" in text for field in fields for text in field):
        _refuse_form("form_nul", "Text contains a NUL character.")
    return form


def _refuse_form(code: str, message: str) -> NoReturn:
    raise Malformed(errors=(FieldError(code=code, message=message),)) from None
