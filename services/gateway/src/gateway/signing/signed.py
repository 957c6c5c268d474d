"""Signed values as text that is safe in a URL. Anyone can read them; only a holder of the key can make them."""

import hashlib
from typing import Any

from itsdangerous import BadData, URLSafeSerializer


def sign(key: bytes, purpose: str, value: Any) -> str:
    """A JSON value and its signature. A text that is signed for one purpose does not verify for another."""
    return str(_build_serializer(key, purpose).dumps(value))


def verify(key: bytes, purpose: str, text: str) -> Any:
    """The value that was signed with this key for this purpose; None for any other text."""
    try:
        return _build_serializer(key, purpose).loads(text)
    except BadData:
        return None


def _build_serializer(key: bytes, purpose: str) -> URLSafeSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(key, salt=purpose, signer_kwargs=options)
