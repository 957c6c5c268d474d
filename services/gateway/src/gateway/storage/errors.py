"""Refusals of the artifact store."""

from contracts.wire.errors import Kind, Refusal


class StoreMismatch(Refusal):
    """The server's artifact store does not belong to its database, so nothing can be stored. Try again later."""

    kind, code = Kind.UNAVAILABLE, "storage.mismatch"
