"""Refusals: errors with which a service rejects a request.

Expected outcomes are values, refusals are errors with a stable code, and bugs crash. A refusal is declared like this::

    class QuotaExceeded(Refusal):
        \"\"\"{left} of today's {limit} images are left, and this job needs {images}. Wait until 00:00 UTC.\"\"\"

        kind, code = Kind.LIMITED, "scheduler.quota.exceeded"

The docstring is the message. Only ``kind`` matters to transports: HTTP maps it to a status, NATS to the header
``Nats-Service-Error-Code`` (NATS ADR-32).
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import ValidationError

from contracts.wire.field_messages import build_field_message
from contracts.wire.model import TolerantModel
from contracts.wire.text import escape_pointer_key


class ErrorKind(StrEnum):
    """The category of a refusal. ``LIMITED`` and ``UNAVAILABLE`` can be retried later, the others cannot.

    ``INTERNAL`` is a bug of the service: the same request would trigger it again.
    """

    MALFORMED = "malformed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


HTTP_STATUS: dict[ErrorKind, int] = {
    ErrorKind.MALFORMED: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.TOO_SLOW: 408,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.INVALID: 422,
    ErrorKind.LIMITED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 500,
}
"""HTTP status of each kind (RFC 9110; 429 from RFC 6585). NATS replies carry the same number."""

FAULT_KINDS = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL})
"""Kinds that say nothing about the request. A cached reply to an earlier request may still be used."""


class FieldError(TolerantModel):
    """One error in a request, and what would be valid.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the request body, "" for the whole body.
        code: stable code for programs.
        message: a sentence for people. It may quote a value of the submitted workflow, cut to 80 printable characters.
        node_id: the workflow node, if the error is in one.
        input: the input of that node, if the error is in one.
        allowed: valid values, at most 50, if they are a list or a range.
    """

    pointer: str = ""
    code: str
    message: str
    node_id: str | None = None
    input: str | None = None
    allowed: tuple[str | int | float | bool, ...] | None = None


class RefusalDetails(TolerantModel):
    """A refusal as it is sent in a reply."""

    code: str
    kind: ErrorKind
    message: str
    errors: tuple[FieldError, ...] = ()
    retry_after_s: float | None = None


class Refusal(Exception):
    """Base class of refusals. The docstring of a subclass is its message, formatted with the keyword arguments."""

    kind: ClassVar[ErrorKind]
    code: ClassVar[str]

    def __init__(
        self, *, errors: tuple[FieldError, ...] = (), retry_after_s: float | None = None, **context: str | int | float
    ) -> None:
        template = (type(self).__doc__ or self.code).strip()
        self.details = RefusalDetails(
            code=self.code,
            kind=self.kind,
            message=template.format(**context) if context else template,
            errors=errors,
            retry_after_s=retry_after_s,
        )
        super().__init__(self.details.message)


class RelayedRefusal(Refusal):
    """A refusal by another service, passed on unchanged."""

    code = "relayed"
    kind = ErrorKind.CONFLICT

    def __init__(self, refused: RefusalDetails) -> None:
        super().__init__()
        self.details = refused


class Unavailable(Refusal):
    """The service {service} does not answer now. Try again after Retry-After."""

    kind, code = ErrorKind.UNAVAILABLE, "service.unavailable"


class InternalFault(Refusal):
    """The request could not be processed because of an internal fault. Report the request_id."""

    kind, code = ErrorKind.INTERNAL, "internal"


class MessageTooLarge(Refusal):
    """The request is too large to be forwarded. Send a smaller workflow, or fewer jobs in one request."""

    kind, code = ErrorKind.TOO_LARGE, "message.too_large"


class InvalidMessage(Refusal):
    """The message does not match the schema of its subject. See the AsyncAPI document."""

    kind, code = ErrorKind.INVALID, "message.invalid"


MAX_FIELD_ERRORS = 100  # maximum number of errors in a response
MAX_COUNTED_ERRORS = 1000  # describing more takes longer than finding them
MAX_POINTER = 256  # characters; a pointer contains keys of the request, which can be as long as the request


def build_field_errors(error: ValidationError, prefix: str = "") -> tuple[FieldError, ...]:
    """Return the first ``MAX_FIELD_ERRORS`` errors of a validation, without repeating what was sent.

    With more than ``MAX_COUNTED_ERRORS`` errors it returns only their number, because pydantic describes all or none.
    """
    if error.error_count() > MAX_COUNTED_ERRORS:
        message = f"This has {error.error_count()} errors. Send only fields that exist."
        return (FieldError(pointer=prefix, code="too_many_errors", message=message),)
    found = error.errors(include_url=False, include_input=False)
    return tuple(
        FieldError(
            pointer=(prefix + "".join(f"/{escape_pointer_key(part)}" for part in item["loc"]))[:MAX_POINTER],
            code=item["type"],
            message=build_field_message(item),
        )
        for item in found[:MAX_FIELD_ERRORS]
    )
