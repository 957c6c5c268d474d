"""Dead letters: messages of executors that cannot be handled."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.scheduler.nodes import NodeName
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class DeadLetter(TolerantModel):
    """A message of an executor that can never be handled: unreadable, impossible to store, or meeting a bug.

    Attributes:
        subject: that it was sent to.
        node: whose executor sent it.
        tenant_id, job_id: as the message claims, where they could be read.
        code: of the refusal that it was answered with.
        reason: what was wrong, for operators.
        excerpt: its first bytes as text, cleaned; at most 16 KiB.
        size_bytes: of the whole message.
    """

    id: UUID
    at: datetime
    subject: str
    request_id: str | None
    node: str
    tenant_id: UUID | None
    job_id: UUID | None
    code: str
    reason: str
    excerpt: str
    size_bytes: int


class ListDeadLetters(StrictModel):
    """Ask for a page of dead letters, newest first.

    Attributes:
        before: id of the last one of the page before.
        node: only those of this node's executor.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    node: NodeName | None = None


class DeadLetterPage(TolerantModel):
    """A page of dead letters; ``more`` says whether another one follows."""

    letters: tuple[DeadLetter, ...]
    more: bool


LIST_DEAD_LETTERS = scheduler_rpc(
    "dead_letters", "list", ListDeadLetters, DeadLetterPage, "An operator lists messages that could not be handled."
)

TOPICS = (LIST_DEAD_LETTERS,)
