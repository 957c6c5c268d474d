"""Cursors of lists: opaque, and good only for the tenant and the filter that they were made for."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from gateway.api.v1.errors import BadCursor

ID_BYTES = 16
MAC_BYTES = 16


def encode(key: bytes, *, tenant: str, filters: str, before: UUID) -> str:
    """A cursor that goes on after ``before``; ``filters`` is any text that is the same for the same filter."""
    return urlsafe_b64encode(before.bytes + _mac(key, tenant, filters, before.bytes)).decode().rstrip("=")


def decode(key: bytes, cursor: str, *, tenant: str, filters: str) -> UUID:
    """Where the list goes on.

    Raises:
        BadCursor: it was tampered with, or made for another tenant or filter.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        raise BadCursor from None
    before, mac = raw[:ID_BYTES], raw[ID_BYTES:]
    if len(before) != ID_BYTES or not hmac.compare_digest(mac, _mac(key, tenant, filters, before)):
        raise BadCursor
    return UUID(bytes=before)


def _mac(key: bytes, tenant: str, filters: str, before: bytes) -> bytes:
    bound = b"\x00".join([tenant.encode(), filters.encode(), before])
    return hmac.new(key, bound, hashlib.sha256).digest()[:MAC_BYTES]
