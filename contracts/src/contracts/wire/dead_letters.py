"""Dead letters: messages that a service could not handle. Each service with dead letters answers these requests."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import TOKEN


class DeadLetter(TolerantModel):
    """A message that could not be handled: malformed, of an unknown type, too large, or its handler always raised.

    Attributes:
        at: when it became a dead letter.
        service: service that could not handle it.
        subject: subject that it was published to.
        node: node of the executor that sent it, for a request of an executor.
        stream, consumer, sequence: where it was read, for a message of a stream.
        tenant_id, job_id: as claimed by the subject of an event or the body of a request.
        code: ``message.invalid``, ``message.unknown_type``, ``message.too_large`` or ``internal``.
        reason: cause of the last failure, for operators.
        attempts: number of deliveries and redrives.
        redrivable: its whole payload is stored, so that it can be handled again.
        excerpt: first bytes as text, sanitized; at most 16 KiB.
        size_bytes: size of the whole message.
    """

    id: UUID
    at: datetime
    service: str
    subject: str
    request_id: str | None = None
    node: str | None = None
    stream: str | None = None
    consumer: str | None = None
    sequence: int | None = None
    tenant_id: UUID | None
    job_id: UUID | None
    code: str
    reason: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    redrivable: bool
    excerpt: str
    size_bytes: int


class ListDeadLetters(StrictModel):
    """List dead letters, newest first.

    Attributes:
        before: the last ``id`` of the previous page.
        node: return only requests of this node's executor.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    node: Annotated[str, Field(pattern=f"^{TOKEN.pattern}$")] | None = None


class DeadLetterPage(TolerantModel):
    """A page of dead letters. ``more`` is true if another page follows."""

    letters: tuple[DeadLetter, ...]
    more: bool


class RedriveDeadLetter(StrictModel):
    """Handle a dead letter again, with the handler that failed. It is deleted if that succeeds."""

    id: UUID


class Redriven(TolerantModel):
    """The message was handled."""

    id: UUID


class UnknownDeadLetter(Refusal):
    """There is no such dead letter. It may have been handled or deleted. GET /api/v1/admin/dead-letters lists all."""

    kind, code = ErrorKind.NOT_FOUND, "dead_letter.not_found"


class DeadLetterNotRedrivable(Refusal):
    """This message cannot be redriven: {reason}. It is deleted after 14 days."""

    kind, code = ErrorKind.CONFLICT, "dead_letter.not_redrivable"


class DeadLetterFailedAgain(Refusal):
    """The message failed again: {reason}."""

    kind, code = ErrorKind.CONFLICT, "dead_letter.failed_again"
