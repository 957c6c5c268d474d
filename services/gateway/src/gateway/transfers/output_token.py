"""Output tokens: the right to PUT the bytes of one output of one attempt, for a while."""

from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed
from gateway.signing.keys import SigningKeys
from gateway.transfers.errors import BadOutputToken

_PURPOSE = "output"


@dataclass(frozen=True, slots=True)
class OutputTokenClaims:
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


def sign(keys: SigningKeys, right: OutputTokenClaims) -> str:
    """Return the token of a right, safe in a URL."""
    value = [right.tenant_id.hex, right.job_id.hex, right.attempt, right.output_id.hex, right.expires_s]
    return signed.sign(keys, _PURPOSE, value)


def verify(keys: SigningKeys, token: str, *, now_s: float) -> OutputTokenClaims:
    """Return the upload that a token permits.

    Raises:
        BadOutputToken: it is not ours, or its time is over.
    """
    value = signed.verify(keys, _PURPOSE, token)
    if value is None:
        raise BadOutputToken
    tenant, job, attempt, output, expires_s = value
    if expires_s < now_s:
        raise BadOutputToken
    return OutputTokenClaims(UUID(tenant), UUID(job), attempt, UUID(output), expires_s)
