"""Errors of the artifact store."""

from contracts.wire.errors import ErrorKind, Refusal


class StoreMismatch(Refusal):
    """The server's artifact store does not belong to its database, so nothing can be stored. Try again later."""

    kind, code = ErrorKind.UNAVAILABLE, "storage.mismatch"
