"""Bytes with our signature, as a text that is safe in a URL."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

MAC_BYTES = 32


def sign(key: bytes, packed: bytes) -> str:
    """The bytes and their signature. Not secret: whoever has the text can read them."""
    return urlsafe_b64encode(packed + _mac(key, packed)).decode().rstrip("=")


def verify(key: bytes, token: str) -> bytes | None:
    """The bytes that were signed with this key; None for any other text."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        return None
    packed, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    return packed if hmac.compare_digest(mac, _mac(key, packed)) else None


def _mac(key: bytes, packed: bytes) -> bytes:
    return hmac.new(key, packed, hashlib.sha256).digest()
