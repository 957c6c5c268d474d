"""Errors of requests by which executors download inputs and upload outputs."""

from contracts.wire.errors import ErrorKind, Refusal


class BadInputToken(Refusal):
    """This link to an upload is invalid or has expired."""

    kind, code = ErrorKind.FORBIDDEN, "upload.token_invalid"


class BadOutputToken(Refusal):
    """This upload link is invalid or has expired."""

    kind, code = ErrorKind.FORBIDDEN, "output.token_invalid"


class BrokenOutput(Refusal):
    """The upload ended before its last byte. Nothing was stored."""

    kind, code = ErrorKind.MALFORMED, "output.upload_broken"


class OutputTooLarge(Refusal):
    """An output can have at most {limit} bytes."""

    kind, code = ErrorKind.TOO_LARGE, "output.too_large"
