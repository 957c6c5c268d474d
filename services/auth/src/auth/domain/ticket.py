"""Tickets: ``cft_`` and 256 random bits, for one websocket."""

import base64
import hashlib
import re
import secrets

SHAPE = re.compile(r"cft_[A-Za-z0-9_-]{43}")


def new_ticket() -> str:
    """A fresh ticket that nobody can guess."""
    return "cft_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def ticket_digest(text: str) -> bytes | None:
    """32 bytes that find a ticket and do not give it away; None of what is no ticket."""
    return hashlib.sha256(text.encode()).digest() if SHAPE.fullmatch(text) else None
