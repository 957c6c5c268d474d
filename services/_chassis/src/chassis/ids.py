"""Identifiers that sort by the time they were made (UUIDv7, RFC 9562 section 5.7)."""

import os
import time
from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 2 << 62


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    stamp = time.time_ns() // 1_000_000
    return UUID(int=(stamp << 80) | _VERSION | ((random >> 68) << 64) | _VARIANT | (random & ((1 << 62) - 1)))
