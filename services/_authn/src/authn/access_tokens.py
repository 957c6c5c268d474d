"""Access tokens: what is one, and whose it is, without asking anybody.

A token's header decides nothing: the algorithm is ours, the key is made here from the public bytes that auth gave, and
a header that names anything besides algorithm, type and key is refused (RFC 8725, RFC 9068).
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jiter
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ConfigDict, Field

from contracts import auth
from contracts.auth import BadCredential, Jwk, Principal, Role, Tier, scopes_of
from contracts.wire.model import Fact

LEEWAY_S = 10  # between auth's clock and ours
SHAPE = re.compile(r"([\w-]{1,400})\.([\w-]{1,3500})\.[\w-]{86}", re.ASCII)  # 64 bytes of signature; 4 KiB at most
KID = re.compile(r"[\w-]{1,64}", re.ASCII)
PUBLIC_KEY = re.compile(r"[\w-]{43}", re.ASCII)  # 32 bytes

Keys = Mapping[str, Ed25519PublicKey]


class Claims(Fact):
    """What a token says, each of exactly its type."""

    model_config = ConfigDict(strict=True)

    sub: UUID
    sid: UUID
    jti: str = Field(min_length=1, max_length=64)
    exp: int = Field(ge=0, lt=1 << 33)  # seconds; year 2242
    ver: int = Field(ge=0, lt=1 << 63)
    username: str
    tier: Tier
    role: Role
    rpm: int | None
    own: bool


def keys_of(listed: Iterable[Jwk]) -> dict[str, Ed25519PublicKey]:
    """The keys that are of use, by ``kid``; what is not an Ed25519 key to verify with is left out."""
    return {
        jwk.kid: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk.x + "="))
        for jwk in listed
        if (jwk.kty, jwk.crv, jwk.use, jwk.alg) == ("OKP", "Ed25519", "sig", auth.ALGORITHM)
        and KID.fullmatch(jwk.kid)
        and PUBLIC_KEY.fullmatch(jwk.x)
    }


def kid_of(token: str) -> str:
    """The name of the key that a token says it was signed with. Nothing is verified yet.

    Raises:
        BadCredential: it is no token of ours by its shape.
    """
    shape = SHAPE.fullmatch(token)
    header = _read(shape[1]) if shape else {}
    kid = header.get("kid")
    if (
        set(header) != {"alg", "typ", "kid"}
        or (header["alg"], header["typ"]) != (auth.ALGORITHM, auth.TOKEN_TYPE)
        or not isinstance(kid, str)
        or not KID.fullmatch(kid)
    ):
        raise BadCredential
    return kid


def verified(token: str, keys: Keys) -> Principal:
    """Whom a token belongs to, as it was when it was signed.

    Raises:
        BadCredential: another key signed it, it has expired, or it is not what auth signs.
    """
    key = keys.get(kid_of(token))
    if key is None:
        raise BadCredential
    try:
        jwt.decode(
            token,
            key,
            algorithms=[auth.ALGORITHM],
            audience=auth.AUDIENCE,
            issuer=auth.ISSUER,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "aud", "iss", "sub", "jti", "sid", "ver"], "strict_aud": True},
        )
        claims = Claims.model_validate_json(json.dumps(_read(token.split(".")[1])))
    except (jwt.PyJWTError, ValueError, ArithmeticError) as error:
        raise BadCredential from error
    return _principal(claims)


def _principal(claims: Claims) -> Principal:
    return Principal(
        user_id=claims.sub, username=claims.username, tier=claims.tier, role=claims.role, scopes=scopes_of(claims.role),
        requests_per_minute=claims.rpm, own_limits=claims.own, version=claims.ver, session_id=claims.sid,
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )  # fmt: skip


def _read(segment: str) -> dict[str, Any]:
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        read = jiter.from_json(decoded, allow_inf_nan=False, catch_duplicate_keys=True)  # which one counts is ambiguous
    except ValueError as error:
        raise BadCredential from error
    if not isinstance(read, dict):
        raise BadCredential
    return read
