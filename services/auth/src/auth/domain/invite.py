"""Invite tokens: ``cfi_`` and 256 random bits, for one registration."""

import base64
import hashlib
import re
import secrets

TOKEN_PATTERN = re.compile(r"cfi_[A-Za-z0-9_-]{43}")


def new_invite_token() -> str:
    return "cfi_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def digest_invite_token(text: str) -> bytes | None:
    """Return the SHA-256 digest that finds the invite without revealing its token.

    None when the text is not a token.
    """
    return hashlib.sha256(text.encode()).digest() if TOKEN_PATTERN.fullmatch(text) else None
