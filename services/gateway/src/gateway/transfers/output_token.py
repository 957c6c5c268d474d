"""Output tokens: the right to PUT the bytes of one output of one attempt, for a while."""

import struct
from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed
from gateway.transfers.errors import BadOutputToken

_LAYOUT = struct.Struct(">16s16s16sIQ")  # tenant, job, output, attempt, expiry in Unix seconds


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
    return signed.sign(key, packed)


def verify(key: bytes, token: str, *, now_s: float) -> OutputRight:
    """The right that a token gives.

    Raises:
        BadOutputToken: it is not ours, or its time is over.
    """
    packed = signed.verify(key, token)
    if packed is None or len(packed) != _LAYOUT.size:
        raise BadOutputToken
    tenant, job, output, attempt, expires_s = _LAYOUT.unpack(packed)
    if expires_s < now_s:
        raise BadOutputToken
    return OutputRight(UUID(bytes=tenant), UUID(bytes=job), attempt, UUID(bytes=output), expires_s)
