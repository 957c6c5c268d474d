"""WebSocket tickets: ``cft_`` and 256 random bits, for one connection."""

import base64
import hashlib
import re
import secrets

TOKEN_PATTERN = re.compile(r"cft_[A-Za-z0-9_-]{43}")


def new_ticket() -> str:
    return "cft_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def digest_ticket(text: str) -> bytes | None:
    """Return 32 bytes that find the ticket but do not reveal it; None when the text is not a ticket."""
    return hashlib.sha256(text.encode()).digest() if TOKEN_PATTERN.fullmatch(text) else None
