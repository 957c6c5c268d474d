"""Input tokens: the right to GET the bytes of one upload, for a while."""

from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed_text
from gateway.signing.keys import SigningKeys
from gateway.transfers.errors import BadInputToken

_PURPOSE = "input"


@dataclass(frozen=True, slots=True)
class InputTokenClaims:
    """What a token lets its bearer read."""

    tenant_id: UUID
    upload_id: UUID
    expires_s: int


def sign(keys: SigningKeys, claims: InputTokenClaims) -> str:
    """Return a token with these claims, safe in a URL."""
    return signed_text.sign(keys, _PURPOSE, [claims.tenant_id.hex, claims.upload_id.hex, claims.expires_s])


def verify(keys: SigningKeys, token: str, *, now_s: float) -> InputTokenClaims:
    """Return the claims of a token.

    Raises:
        BadInputToken: the token is invalid or has expired.
    """
    value = signed_text.verify(keys, _PURPOSE, token)
    if value is None:
        raise BadInputToken
    tenant, upload, expires_s = value
    if expires_s < now_s:
        raise BadInputToken
    return InputTokenClaims(UUID(tenant), UUID(upload), expires_s)
