"""Refusals of the transfer of inputs and outputs between the store and executors."""

from contracts.wire.errors import Kind, Refusal


class BadInputToken(Refusal):
    """This link to an upload is invalid or has expired."""

    kind, code = Kind.FORBIDDEN, "upload.token_invalid"


class BadOutputToken(Refusal):
    """This upload link is invalid or has expired."""

    kind, code = Kind.FORBIDDEN, "output.token_invalid"


class BrokenOutput(Refusal):
    """The upload ended before its last byte. Nothing was stored."""

    kind, code = Kind.MALFORMED, "output.upload_broken"


class OutputTooLarge(Refusal):
    """An output can have at most {limit} bytes."""

    kind, code = Kind.TOO_LARGE, "output.too_large"
