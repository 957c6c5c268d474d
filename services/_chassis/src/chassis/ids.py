"""Identifiers that sort by creation time (UUIDv7, RFC 9562 section 5.7), and request ids of clients."""

import os
import re
import threading
import time
from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 2 << 62
_TICKS_PER_MS = 4096  # 12 bits
_SET_BACK = 1000 * _TICKS_PER_MS  # one second
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Ticks:
    """Makes times that increase strictly, also across threads, from a clock that may not."""

    def __init__(self) -> None:
        self._lock, self._latest = threading.Lock(), 0

    def advance(self, now_ns: int) -> int:
        """Return the current time in ticks of 1/4096 ms, advanced if necessary to exceed the previous result."""
        now = now_ns * _TICKS_PER_MS // 1_000_000
        with self._lock:
            if self._latest - now < _SET_BACK:  # else ids would have wrong times until the clock has caught up
                now = max(now, self._latest + 1)
            self._latest = now
        return now


_ticks = Ticks()


def new_id() -> UUID:
    """Return a new UUIDv7, which is larger than all earlier ones of this process.

    48 bits of Unix milliseconds, 12 bits of their fraction (RFC 9562 section 6.2, method 3), 62 random bits. If the
    system clock is set back by more than a second, the order starts anew.
    """
    stamp, fraction = divmod(_ticks.advance(time.time_ns()), _TICKS_PER_MS)
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=(stamp << 80) | _VERSION | (fraction << 64) | _VARIANT | random)


def is_request_id(text: str) -> bool:
    """Whether this is a valid request id: 1 to 64 of A-Z, a-z, 0-9, ., _, -."""
    return _REQUEST_ID.fullmatch(text) is not None


def choose_request_id(text: str) -> str:
    """Return the client's request id if it is valid, else a new one."""
    return text if is_request_id(text) else new_id().hex
