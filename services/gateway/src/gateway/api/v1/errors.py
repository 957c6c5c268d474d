"""Refusals shared by the lists of the native API."""

from contracts.wire.errors import ErrorKind, Refusal


class BadCursor(Refusal):
    """Invalid cursor. Pass `next_cursor` from the previous page with the same filters."""

    kind, code = ErrorKind.INVALID, "cursor.invalid"
