"""Verifies access tokens locally.

A token's header decides nothing: the algorithm is fixed, the key is built from the public bytes that auth published,
and a header with anything besides algorithm, type and key id is refused (RFC 8725, RFC 9068).
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

from contracts.auth.accounts import Role
from contracts.auth.credentials import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    TOKEN_TYPE,
    InvalidCredential,
    Jwk,
    Principal,
    list_scopes,
)
from contracts.auth.tiers import Tier
from contracts.wire.model import TolerantModel

LEEWAY_S = 10  # seconds between auth's clock and ours
# 64 bytes of signature; 4 KiB at most.
TOKEN_PATTERN = re.compile(r"([\w-]{1,400})\.([\w-]{1,3500})\.[\w-]{86}", re.ASCII)
KEY_ID_PATTERN = re.compile(r"[\w-]{1,64}", re.ASCII)
PUBLIC_KEY_PATTERN = re.compile(r"[\w-]{43}", re.ASCII)  # 32 bytes

Keys = Mapping[str, Ed25519PublicKey]


class AccessTokenClaims(TolerantModel):
    """Claims of a token, strictly typed."""

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


def parse_verification_keys(listed: Iterable[Jwk]) -> dict[str, Ed25519PublicKey]:
    """Return the usable Ed25519 verification keys by ``kid``."""
    return {
        jwk.kid: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk.x + "="))
        for jwk in listed
        if (jwk.kty, jwk.crv, jwk.use, jwk.alg) == ("OKP", "Ed25519", "sig", ALGORITHM)
        and KEY_ID_PATTERN.fullmatch(jwk.kid)
        and PUBLIC_KEY_PATTERN.fullmatch(jwk.x)
    }


def parse_key_id(token: str) -> str:
    """Return the key id in a token's header. Nothing is verified yet.

    Raises:
        InvalidCredential: the text does not have the shape of an access token.
    """
    shape = TOKEN_PATTERN.fullmatch(token)
    header = _decode_segment(shape[1]) if shape else {}
    kid = header.get("kid")
    if (
        set(header) != {"alg", "typ", "kid"}
        or (header["alg"], header["typ"]) != (ALGORITHM, TOKEN_TYPE)
        or not isinstance(kid, str)
        or not KEY_ID_PATTERN.fullmatch(kid)
    ):
        raise InvalidCredential
    return kid


def verify_access_token(token: str, keys: Keys) -> Principal:
    """Verify a token and return its principal as of when it was signed.

    Raises:
        InvalidCredential: wrong signature, expired, or not an access token of auth.
    """
    key = keys.get(parse_key_id(token))
    if key is None:
        raise InvalidCredential
    try:
        jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "aud", "iss", "sub", "jti", "sid", "ver"], "strict_aud": True},
        )
        claims = AccessTokenClaims.model_validate_json(json.dumps(_decode_segment(token.split(".")[1])))
    except (jwt.PyJWTError, ValueError, ArithmeticError) as error:
        raise InvalidCredential from error
    return _build_principal(claims)


def _build_principal(claims: AccessTokenClaims) -> Principal:
    return Principal(
        user_id=claims.sub, username=claims.username, tier=claims.tier, role=claims.role,
        scopes=list_scopes(claims.role), requests_per_minute=claims.rpm, own_limits=claims.own, version=claims.ver,
        session_id=claims.sid,
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )  # fmt: skip


def _decode_segment(segment: str) -> dict[str, Any]:
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        content = jiter.from_json(decoded, allow_inf_nan=False, catch_duplicate_keys=True)  # duplicates are ambiguous
    except ValueError as error:
        raise InvalidCredential from error
    if not isinstance(content, dict):
        raise InvalidCredential
    return content
