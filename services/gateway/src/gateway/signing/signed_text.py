"""Signed values as text that is safe in a URL. Anyone can read them; only a holder of the key can make them."""

import hashlib
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from gateway.signing.keys import SigningKeys


def sign(keys: SigningKeys, purpose: str, value: Any) -> str:
    """Return a JSON value and its signature. A text that is signed for one purpose does not verify for another."""
    return str(_build_serializer(keys, purpose).dumps(value))


def verify(keys: SigningKeys, purpose: str, text: str) -> Any:
    """Return the value that was signed with one of these keys for this purpose; None for any other text."""
    try:
        return _build_serializer(keys, purpose).loads(text)
    except BadData:
        return None


def _build_serializer(keys: SigningKeys, purpose: str) -> URLSafeSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(list(reversed(keys)), salt=purpose, signer_kwargs=options)
