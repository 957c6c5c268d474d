"""Tokens of login links: ``cfl_`` and 256 random bits, for one login."""

import base64
import hashlib
import re
import secrets

TOKEN_PATTERN = re.compile(r"cfl_[A-Za-z0-9_-]{43}")


def new_login_link_token() -> str:
    return "cfl_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def digest_login_link_token(text: str) -> bytes | None:
    """Return the SHA-256 digest under which the link is stored, or None if the text is not a token."""
    return hashlib.sha256(text.encode()).digest() if TOKEN_PATTERN.fullmatch(text) else None
