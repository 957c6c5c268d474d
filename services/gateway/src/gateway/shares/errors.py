"""Errors of requests for shared jobs."""

from contracts.wire.errors import ErrorKind, Refusal


class UnknownShare(Refusal):
    """There is no such share: it never existed, was revoked, has expired, or its job was deleted."""

    kind, code = ErrorKind.NOT_FOUND, "share.not_found"
