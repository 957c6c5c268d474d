"""Identifiers that sort by creation time (UUIDv7, RFC 9562 section 5.7), and request ids of clients."""

import os
import re
import time
from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 2 << 62
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_id() -> UUID:
    """Return a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    stamp = time.time_ns() // 1_000_000
    return UUID(int=(stamp << 80) | _VERSION | ((random >> 68) << 64) | _VARIANT | (random & ((1 << 62) - 1)))


def is_request_id(text: str) -> bool:
    """Whether this is a valid request id: 1 to 64 of A-Z, a-z, 0-9, ., _, -."""
    return _REQUEST_ID.fullmatch(text) is not None


def choose_request_id(text: str) -> str:
    """Return the client's request id if it is valid, else a new one."""
    return text if is_request_id(text) else new_id().hex
