"""Output tokens: the right to PUT the bytes of one output of one attempt, for a while."""

from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed_text
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
        """The key of the bytes in the artifact store."""
        return f"{self.tenant_id}/{self.job_id}/{self.attempt}/{self.output_id}"


def sign(keys: SigningKeys, claims: OutputTokenClaims) -> str:
    """Return a token with these claims, safe in a URL."""
    value = [claims.tenant_id.hex, claims.job_id.hex, claims.attempt, claims.output_id.hex, claims.expires_s]
    return signed_text.sign(keys, _PURPOSE, value)


def verify(keys: SigningKeys, token: str, *, now_s: float) -> OutputTokenClaims:
    """Return the claims of a token.

    Raises:
        BadOutputToken: the token is invalid or has expired.
    """
    value = signed_text.verify(keys, _PURPOSE, token)
    if value is None:
        raise BadOutputToken
    tenant, job, attempt, output, expires_s = value
    if expires_s < now_s:
        raise BadOutputToken
    return OutputTokenClaims(UUID(tenant), UUID(job), attempt, UUID(output), expires_s)
