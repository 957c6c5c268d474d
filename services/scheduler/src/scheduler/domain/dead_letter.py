"""What is recorded of a message that can never be handled."""

from typing import Any
from uuid import UUID

import orjson

from contracts.wire.text import clean_text

MAX_EXCERPT = 16 << 10  # bytes
MAX_REASON = 2_000  # characters
MAX_PARSED = 1 << 20  # bytes; larger messages are not parsed for ids


def extract_claimed_ids(body: bytes) -> tuple[UUID | None, UUID | None]:
    """Extract the tenant id and job id that a message claims, each None if it cannot be read."""
    if len(body) > MAX_PARSED:
        return None, None
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None
    ref: dict[str, Any] = {}
    for key in ("ref", "attempt"):
        if isinstance(message, dict) and isinstance(message.get(key), dict):
            ref = message[key]
    return _parse_uuid(ref.get("tenant_id")), _parse_uuid(ref.get("job_id"))


def decode_excerpt(excerpt: bytes) -> str:
    """Decode an excerpt to text without control characters, at most ``MAX_EXCERPT`` characters."""
    return clean_text(excerpt.decode("utf-8", "replace"), MAX_EXCERPT)


def _parse_uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
