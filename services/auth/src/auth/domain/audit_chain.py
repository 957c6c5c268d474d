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


def hash_entry(previous: bytes, entry: ChainEntry) -> bytes:
    """Return SHA-256 of the previous hash and the entry as JSON: sorted keys, no white space, ASCII."""
    body = json.dumps(entry.as_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(previous + body.encode()).digest()


class ChainVerifier:
    """Verifies the log from its beginning.

    Attributes:
        count: number of verified entries.
        last: hash of the last verified entry.
    """

    def __init__(self) -> None:
        self.verified_count, self.last_hash = 0, GENESIS_HASH

    def verify_next(self, entry: ChainEntry, hash_: bytes) -> bool:
        """Verify the next entry and count it; False when it was changed or one before it is missing."""
        if entry.id != self.verified_count + 1 or hash_entry(self.last_hash, entry) != hash_:
            return False
        self.verified_count, self.last_hash = entry.id, hash_
        return True
