"""The hash chain that makes the audit log tamper-evident: each hash covers the previous one."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

GENESIS_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """One audit log entry without its hash."""

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    subject_id: UUID | None
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON data, times in UTC with microseconds."""
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

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "ChainEntry":
        """Return the entry that ``as_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: the body is not such an entry.
        """
        actor, subject = body["actor_id"], body["subject_id"]
        return cls(
            id=body["id"],
            at=datetime.fromisoformat(body["at"]),
            action=body["action"],
            actor_id=UUID(actor) if actor else None,
            subject_id=UUID(subject) if subject else None,
            ip=body["ip"],
            request_id=body["request_id"],
            detail=body["detail"],
        )


def hash_entry(previous: bytes, entry: ChainEntry) -> bytes:
    """Return SHA-256 of the previous hash and the entry as JSON: sorted keys, no white space, ASCII."""
    body = json.dumps(entry.as_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(previous + body.encode()).digest()


class ChainVerifier:
    """Verifies the log from its beginning, or from the end of an archive.

    Args:
        last_id, last_hash: id and hash of the newest archived entry. The defaults precede the first entry.

    Attributes:
        verified_count: number of verified entries.
        last_id, last_hash: id and hash of the last verified entry.
    """

    def __init__(self, last_id: int = 0, last_hash: bytes = GENESIS_HASH) -> None:
        self.verified_count, self.last_id, self.last_hash = 0, last_id, last_hash

    def verify_next(self, entry: ChainEntry, hash_: bytes) -> bool:
        """Verify the next entry and count it; False when it was changed or one before it is missing."""
        if entry.id != self.last_id + 1 or hash_entry(self.last_hash, entry) != hash_:
            return False
        self.verified_count, self.last_id, self.last_hash = self.verified_count + 1, entry.id, hash_
        return True
