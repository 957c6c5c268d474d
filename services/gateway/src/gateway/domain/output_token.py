"""Output tokens: the right to PUT the bytes of one output of one attempt, for a while."""

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from uuid import UUID

from gateway.domain.errors import BadOutputToken

_LAYOUT = struct.Struct(">16s16s16sIQ")  # tenant, job, output, attempt, expiry in Unix seconds
MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class OutputRight:
    """What a token lets its bearer write."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    output_id: UUID
    expires_s: int

    @property
    def key(self) -> str:
        """Where the bytes lie in the artifact store."""
        return f"{self.tenant_id}/{self.job_id}/{self.attempt}/{self.output_id}"


def sign(key: bytes, right: OutputRight) -> str:
    """The token of a right, safe in a URL."""
    packed = _LAYOUT.pack(
        right.tenant_id.bytes, right.job_id.bytes, right.output_id.bytes, right.attempt, right.expires_s
    )
    return urlsafe_b64encode(packed + _mac(key, packed)).decode().rstrip("=")


def verify(key: bytes, token: str, *, now_s: float) -> OutputRight:
    """The right that a token gives.

    Raises:
        BadOutputToken: it is not ours, or its time is over.
    """
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        raise BadOutputToken from None
    packed, mac = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    if len(packed) != _LAYOUT.size or not hmac.compare_digest(mac, _mac(key, packed)):
        raise BadOutputToken
    tenant, job, output, attempt, expires_s = _LAYOUT.unpack(packed)
    if expires_s < now_s:
        raise BadOutputToken
    return OutputRight(UUID(bytes=tenant), UUID(bytes=job), attempt, UUID(bytes=output), expires_s)


def _mac(key: bytes, packed: bytes) -> bytes:
    return hmac.new(key, packed, hashlib.sha256).digest()
