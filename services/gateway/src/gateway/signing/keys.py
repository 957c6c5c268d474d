"""Keys for one purpose each, derived from the one secret that operators keep."""

import hashlib
import hmac
from typing import TypeAlias

SigningKeys: TypeAlias = tuple[bytes, ...]
"""Keys of one purpose: the first signs, all verify."""


def derive_key(secret: str, purpose: str) -> bytes:
    """Return a 32-byte key: the key of one purpose reveals nothing about other keys."""
    return hmac.new(secret.encode(), f"comfyfleet/gateway/{purpose}/v1".encode(), hashlib.sha256).digest()
