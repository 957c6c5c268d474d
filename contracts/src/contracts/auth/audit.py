"""The audit log."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.auth.fields import Done, Ip, KeyId
from contracts.auth.rpc import declare_auth_rpc
from contracts.wire.model import StrictModel, TolerantModel


class RecordDenial(StrictModel):
    """Record in the audit log that a user was denied access."""

    what: Annotated[str, Field(max_length=200)]
    code: Annotated[str, Field(max_length=100)]
    key_id: KeyId | None = None
    ip: Ip | None = None


Action = Annotated[str, Field(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$")]


Detail = Annotated[str, Field(max_length=200)]


class RecordAction(StrictModel):
    """Record an action that an admin, the user in the subject, is about to take in another service.

    Attributes:
        action: noun.verb, for example ``node.drain``.
        subject_id: the tenant that the action affects, if there is one.
        detail: further facts, never a secret.
    """

    action: Action
    subject_id: UUID | None = None
    detail: Annotated[dict[Detail, Detail | int | float | None], Field(max_length=20)] = Field(default_factory=dict)
    key_id: KeyId | None = None
    ip: Ip | None = None


class AuditEntry(TolerantModel):
    """One audit log entry. ``id`` has no gaps. ``hash`` (hex) covers this entry and the previous hash."""

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]
    hash: str


class ReadAudit(StrictModel):
    """List audit log entries, newest first.

    Attributes:
        actor_id, subject_id, action: return only entries with these values.
        after, before: return only entries at or after ``after`` and before ``before``.
        before_id: the last ``id`` of the previous page.
    """

    actor_id: UUID | None = None
    subject_id: UUID | None = None
    action: Action | None = None
    after: AwareDatetime | None = None
    before: AwareDatetime | None = None
    before_id: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class AuditPage(TolerantModel):
    """A page of entries. ``more`` is true if another page follows."""

    entries: tuple[AuditEntry, ...]
    more: bool


RECORD_DENIAL = declare_auth_rpc(
    "denial", "record", RecordDenial, Done, "Record in the audit log that a request was denied."
)
RECORD_ACTION = declare_auth_rpc(
    "action", "record", RecordAction, Done, "Record in the audit log what an admin is about to do."
)
READ_AUDIT = declare_auth_rpc("audit", "read", ReadAudit, AuditPage, "An admin reads the audit log.")

TOPICS = (RECORD_DENIAL, RECORD_ACTION, READ_AUDIT)
