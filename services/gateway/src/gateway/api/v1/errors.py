"""Refusals shared by the lists of the native API."""

from contracts.wire.errors import Kind, Refusal


class BadCursor(Refusal):
    """Invalid cursor. Pass `next_cursor` from the previous page with the same filters."""

    kind, code = Kind.INVALID, "cursor.invalid"
