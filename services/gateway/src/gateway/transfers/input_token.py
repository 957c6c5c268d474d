"""Input tokens: the right to GET the bytes of one upload, for a while."""

from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed
from gateway.signing.keys import SigningKeys
from gateway.transfers.errors import BadInputToken

_PURPOSE = "input"


@dataclass(frozen=True, slots=True)
class InputTokenClaims:
    """What a token lets its bearer read."""

    tenant_id: UUID
    upload_id: UUID
    expires_s: int


def sign(keys: SigningKeys, right: InputTokenClaims) -> str:
    """Return the token of a right, safe in a URL."""
    return signed.sign(keys, _PURPOSE, [right.tenant_id.hex, right.upload_id.hex, right.expires_s])


def verify(keys: SigningKeys, token: str, *, now_s: float) -> InputTokenClaims:
    """Return the download that a token permits.

    Raises:
        BadInputToken: it is not ours, or its time is over.
    """
    value = signed.verify(keys, _PURPOSE, token)
    if value is None:
        raise BadInputToken
    tenant, upload, expires_s = value
    if expires_s < now_s:
        raise BadInputToken
    return InputTokenClaims(UUID(tenant), UUID(upload), expires_s)
