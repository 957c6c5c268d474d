"""How the gateway says no."""

from contracts.wire.errors import Kind, Refusal


class Malformed(Refusal):
    """The request body is not JSON as this API takes it."""

    kind, code = Kind.INVALID, "request.malformed"


class InvalidRequest(Refusal):
    """The request does not have the shape asked for."""

    kind, code = Kind.INVALID, "request.invalid"


class BodyTooLarge(Refusal):
    """The request body is larger than {limit} bytes."""

    kind, code = Kind.TOO_LARGE, "request.too_large"


class BadIdempotencyKey(Refusal):
    """An Idempotency-Key is sent once and has 1 to 255 visible ASCII characters."""

    kind, code = Kind.MALFORMED, "idempotency.key_malformed"


class NoModel(Refusal):
    """No node of the fleet has a checkpoint to make images with."""

    kind, code = Kind.INVALID, "model.missing"


class BadCursor(Refusal):
    """The cursor is not one that this list gave out for this filter."""

    kind, code = Kind.INVALID, "cursor.invalid"


class BadUploadToken(Refusal):
    """This upload link is not one of ours or has expired."""

    kind, code = Kind.FORBIDDEN, "output.token_invalid"


class BrokenUpload(Refusal):
    """The upload ended before its last byte; nothing of it was kept."""

    kind, code = Kind.MALFORMED, "output.upload_broken"


class OutputTooLarge(Refusal):
    """An output may have {limit} bytes at most."""

    kind, code = Kind.TOO_LARGE, "output.too_large"
