"""What makes the audit log tamper-evident: each entry's hash covers the one before."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

BEGINNING = bytes(32)


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the audit log as it is kept, without its hash."""

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The entry as JSON knows it: times in UTC with microseconds."""
        return {
            "id": self.id,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "action": self.action,
            "actor_id": str(self.actor_id) if self.actor_id else None,
            "subject_id": str(self.subject_id) if self.subject_id else None,
            "ip": self.ip,
            "request_id": self.request_id,
            "detail": self.detail,
        }


def hash_of(previous: bytes, link: Link) -> bytes:
    """SHA-256 over the hash before and this entry as JSON: keys sorted, no white space, ASCII."""
    body = json.dumps(link.as_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(previous + body.encode()).digest()


class Chain:
    """Follows the log from its beginning.

    Attributes:
        count: entries that were whole so far.
        last: hash of the last of them.
    """

    def __init__(self) -> None:
        self.count, self.last = 0, BEGINNING

    def follows(self, link: Link, hash_: bytes) -> bool:
        """Whether this is the next entry, unchanged. One that is not is not counted."""
        if link.id != self.count + 1 or hash_of(self.last, link) != hash_:
            return False
        self.count, self.last = link.id, hash_
        return True
