"""Invites: ``cfi_`` and 256 random bits, for one registration."""

import base64
import hashlib
import re
import secrets

SHAPE = re.compile(r"cfi_[A-Za-z0-9_-]{43}")


def new_invite_token() -> str:
    """A fresh token that nobody can guess."""
    return "cfi_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def invite_digest(text: str) -> bytes | None:
    """SHA-256 of an invite's token, which finds the invite and does not reveal the token; None for any other text."""
    return hashlib.sha256(text.encode()).digest() if SHAPE.fullmatch(text) else None
