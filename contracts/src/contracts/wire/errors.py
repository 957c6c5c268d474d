"""Refusals: the one way in which a service says no.

Outcomes are values, refusals are errors with a stable code, bugs crash. A refusal is declared in three lines::

    class QuotaExceeded(Refusal):
        \"\"\"Today's {limit} images are used; {left} are left and this job needs {images}.\"\"\"

        kind, code = Kind.LIMITED, "scheduler.quota.exceeded"

The docstring is the message. Edges look only at ``kind``: HTTP maps it to a status, NATS to the header
``Nats-Service-Error-Code`` (NATS ADR-32).
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import ValidationError

from contracts.wire.field_messages import field_message
from contracts.wire.model import TolerantModel


class Kind(StrEnum):
    """What sort of no it is. ``LIMITED`` and ``UNAVAILABLE`` may be tried again later, the others may not.

    ``INTERNAL`` is a bug of the service: the same request meets it again.
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


STATUS: dict[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.TOO_SLOW: 408,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.INVALID: 422,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
"""HTTP status of each kind (RFC 9110; 429 from RFC 6585). NATS replies carry the same number."""

FAULTS = frozenset({Kind.UNAVAILABLE, Kind.INTERNAL})
"""The service is in trouble, and nothing is said about the request: what was known before may still be used."""


class FieldError(TolerantModel):
    """One thing that is wrong in a request, and what would be valid.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the request body, "" for the whole.
        code: stable, for programs.
        message: for people. It may show a value of a workflow that came, cut to 80 printable characters.
        node_id: the workflow node at fault, where it is one.
        input: the input of that node, where it is one.
        allowed: what would be valid, at most 50 values, where that is a list or a range.
    """

    pointer: str = ""
    code: str
    message: str
    node_id: str | None = None
    input: str | None = None
    allowed: tuple[str | int | float | bool, ...] | None = None


class Refused(TolerantModel):
    """A refusal as it travels."""

    code: str
    kind: Kind
    message: str
    errors: tuple[FieldError, ...] = ()
    retry_after_s: float | None = None


class Refusal(Exception):
    """Base of every refusal; the docstring of a subclass is its message, filled with the keyword arguments."""

    kind: ClassVar[Kind]
    code: ClassVar[str]

    def __init__(
        self, *, errors: tuple[FieldError, ...] = (), retry_after_s: float | None = None, **context: str | int | float
    ) -> None:
        template = (type(self).__doc__ or self.code).strip()
        self.refused = Refused(
            code=self.code,
            kind=self.kind,
            message=template.format(**context) if context else template,
            errors=errors,
            retry_after_s=retry_after_s,
        )
        super().__init__(self.refused.message)


class Relayed(Refusal):
    """A refusal that another service gave, passed on as it came."""

    code = "relayed"
    kind = Kind.CONFLICT

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self.refused = refused


class Unavailable(Refusal):
    """The service {service} does not answer now. Try again after Retry-After."""

    kind, code = Kind.UNAVAILABLE, "service.unavailable"


class InternalFault(Refusal):
    """The request could not be processed because of an internal fault. Report the request_id."""

    kind, code = Kind.INTERNAL, "internal"


class MessageTooLarge(Refusal):
    """The message is larger than the message bus carries. Send less at once."""

    kind, code = Kind.TOO_LARGE, "message.too_large"


class InvalidMessage(Refusal):
    """The message does not have the form that this subject takes. See the AsyncAPI document."""

    kind, code = Kind.INVALID, "message.invalid"


MAX_FIELD_ERRORS = 100  # that are told; whoever sent so many has all the help there is
MAX_COUNTED_ERRORS = 1000  # to describe more takes longer than to find them
MAX_POINTER = 256  # characters; a pointer holds the sender's own keys, which may be as long as the message


def field_errors(error: ValidationError, prefix: str = "") -> tuple[FieldError, ...]:
    """The first ``MAX_FIELD_ERRORS`` things that a validation found, without a word of what was sent.

    Of more than ``MAX_COUNTED_ERRORS`` only the number is told: pydantic describes all or none.
    """
    if error.error_count() > MAX_COUNTED_ERRORS:
        message = f"This has {error.error_count()} errors. Send only fields that exist."
        return (FieldError(pointer=prefix, code="too_many_errors", message=message),)
    found = error.errors(include_url=False, include_input=False)
    return tuple(
        FieldError(
            pointer=(prefix + "".join(f"/{part}" for part in item["loc"]))[:MAX_POINTER],
            code=item["type"],
            message=field_message(item),
        )
        for item in found[:MAX_FIELD_ERRORS]
    )
