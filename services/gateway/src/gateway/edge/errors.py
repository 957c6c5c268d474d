"""Errors of requests that are refused before a feature handles them."""

from contracts.wire.errors import ErrorKind, Refusal


class Malformed(Refusal):
    """The request body could not be read. See the field "errors" for what is wrong with it."""

    kind, code = ErrorKind.MALFORMED, "request.malformed"


class UnsupportedMediaType(Refusal):
    """The type or encoding of the body is not supported: {problem}. Send {expected}."""

    kind, code = ErrorKind.UNSUPPORTED, "request.unsupported_media_type"


class NoSuchPath(Refusal):
    """There is nothing at this path. See /docs for all paths."""

    kind, code = ErrorKind.NOT_FOUND, "http.not_found"


class InvalidRequest(Refusal):
    """The request has invalid or missing fields. See the field "errors" for each one and what is valid."""

    kind, code = ErrorKind.INVALID, "request.invalid"


class BodyTooLarge(Refusal):
    """The request body is larger than {limit} bytes. Send less."""

    kind, code = ErrorKind.TOO_LARGE, "request.too_large"


class TooManyBodies(Refusal):
    """Too many large request bodies are being received at once. Send them one after another."""

    kind, code = ErrorKind.LIMITED, "request.too_many_bodies"


class BodyTooSlow(Refusal):
    """The request body did not arrive within {seconds} seconds. Send it again."""

    kind, code = ErrorKind.TOO_SLOW, "request.too_slow"


class BadIdempotencyKey(Refusal):
    """Invalid Idempotency-Key. Send it at most once, with 1 to 255 visible ASCII characters."""

    kind, code = ErrorKind.MALFORMED, "idempotency.key_malformed"


class RateLimited(Refusal):
    """Rate limit exceeded: at most {limit} {policy} requests per {window} seconds. Wait as long as Retry-After says."""

    kind, code = ErrorKind.LIMITED, "rate.exceeded"


class BatchTooLarge(Refusal):
    """This batch has {jobs} jobs, and each counts as a request: your limit is {limit} a minute. Send fewer at once."""

    kind, code = ErrorKind.INVALID, "batch.too_large"
