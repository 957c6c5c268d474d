"""What is kept of a message that can never be handled."""

from typing import Any
from uuid import UUID

import orjson

from contracts.wire.text import clean

MAX_EXCERPT = 16 << 10  # bytes
MAX_REASON = 2_000  # characters
MAX_READ = 1 << 20  # bytes; in a larger message nobody looks for a job's id


def claimed_ids(body: bytes) -> tuple[UUID | None, UUID | None]:
    """Tenant and job that a message claims to be about, each None where that cannot be read."""
    if len(body) > MAX_READ:
        return None, None
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None
    about: dict[str, Any] = {}
    for key in ("ref", "attempt"):
        if isinstance(said, dict) and isinstance(said.get(key), dict):
            about = said[key]
    return _uuid(about.get("tenant_id")), _uuid(about.get("job_id"))


def shown(excerpt: bytes) -> str:
    """An excerpt as text that any message can carry."""
    return clean(excerpt.decode("utf-8", "replace"), MAX_EXCERPT)


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
