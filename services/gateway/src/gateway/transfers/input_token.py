"""Input tokens: the right to GET the bytes of one upload, for a while."""

import struct
from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed
from gateway.transfers.errors import BadInputToken

_LAYOUT = struct.Struct(">16s16sQ")  # tenant, upload, expiry in Unix seconds


@dataclass(frozen=True, slots=True)
class InputRight:
    """What a token lets its bearer read."""

    tenant_id: UUID
    upload_id: UUID
    expires_s: int


def sign(key: bytes, right: InputRight) -> str:
    """The token of a right, safe in a URL."""
    return signed.sign(key, _LAYOUT.pack(right.tenant_id.bytes, right.upload_id.bytes, right.expires_s))


def verify(key: bytes, token: str, *, now_s: float) -> InputRight:
    """The right that a token gives.

    Raises:
        BadInputToken: it is not ours, or its time is over.
    """
    packed = signed.verify(key, token)
    if packed is None or len(packed) != _LAYOUT.size:
        raise BadInputToken
    tenant, upload, expires_s = _LAYOUT.unpack(packed)
    if expires_s < now_s:
        raise BadInputToken
    return InputRight(UUID(bytes=tenant), UUID(bytes=upload), expires_s)
