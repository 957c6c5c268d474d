"""Words that auth owns: the audit log, for admins who act and for admins who look."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.auth import Done, Ip, KeyId
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Traffic

Action = Annotated[str, Field(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$")]
Detail = Annotated[str, Field(max_length=200)]


class RecordAction(Command):
    """An admin, the user in the subject, is about to do something that auth does not do itself.

    Attributes:
        action: noun.verb, as in ``node.drain``.
        subject_id: whose it is, where it is a tenant's.
        detail: what else there is to say, never a secret.
    """

    action: Action
    subject_id: UUID | None = None
    detail: Annotated[dict[Detail, Detail | int | float | None], Field(max_length=20)] = Field(default_factory=dict)
    key_id: KeyId | None = None
    ip: Ip | None = None


class AuditEntry(Fact):
    """One entry. ``id`` counts without a gap; ``hash`` (hex) is over it and the entry before."""

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]
    hash: str


class ReadAudit(Command):
    """Ask for a page of the audit log, newest first.

    Attributes:
        actor_id, subject_id, action: who, whom and what; only these.
        after, before: only at or after the one and before the other.
        before_id: the last ``id`` of the page before.
    """

    actor_id: UUID | None = None
    subject_id: UUID | None = None
    action: Action | None = None
    after: AwareDatetime | None = None
    before: AwareDatetime | None = None
    before_id: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class AuditPage(Fact):
    """A page of entries; ``more`` says whether another one follows."""

    entries: tuple[AuditEntry, ...]
    more: bool


def _rpc(noun: str, verb: str, payload: Any, reply: Any, says: str) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="auth", noun=noun, verb=verb, payload=payload, reply=reply, says=says,
        producers=("gateway",), consumers=("auth",), timeout_s=2,
    )  # fmt: skip


RECORD_ACTION: Rpc[RecordAction, Done] = _rpc("action", "record", RecordAction, Done, "an admin is about to act")
READ_AUDIT: Rpc[ReadAudit, AuditPage] = _rpc("audit", "read", ReadAudit, AuditPage, "an admin reads the audit log")

TOPICS = (RECORD_ACTION, READ_AUDIT)
