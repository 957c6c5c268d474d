"""Signing keys: storage, signatures, and the audit log's hash chain."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auth.domain.access_token import sign_access_token
from auth.domain.audit_chain import GENESIS_HASH, ChainEntry, ChainVerifier, hash_entry
from auth.domain.signing_key import SigningKey, SigningKeyCipher, to_jwk
from auth.domain.user import User
from contracts.auth.accounts import Role
from contracts.auth.credentials import ALGORITHM, AUDIENCE, ISSUER
from contracts.auth.tiers import Limits, Tier

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
USER = User(
    id=UUID(int=7), username="alice", email="a@example.org", tier=Tier.PRO, role=Role.USER, is_active=True,
    created_at=NOW, version=9, tokens_from=0,
    limits=Limits(images_per_day=1, max_running=1, queue_cap=1, weight=1, requests_per_minute=600),
)  # fmt: skip


@pytest.mark.requirement("S-25")
def test_encrypted_signing_key_is_decrypted_only_with_its_key_id_and_secret_key() -> None:
    key, box = SigningKey.generate(), SigningKeyCipher("secret")
    sealed = box.encrypt(key)
    opened = box.decrypt(key.kid, sealed)
    assert opened is not None
    assert opened.public == key.public
    assert key.private.private_bytes_raw() not in sealed
    assert box.encrypt(key) != sealed
    assert SigningKeyCipher("other").decrypt(key.kid, sealed) is None
    assert box.decrypt("another", sealed) is None
    assert box.decrypt(key.kid, sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert box.decrypt(key.kid, b"") is None


@pytest.mark.requirement("S-40")
def test_token_is_verified_with_the_public_key_alone() -> None:
    key = SigningKey.generate()
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(to_jwk(key.kid, key.public).x + "="))
    token = sign_access_token(key, USER, UUID(int=8), now=NOW, life=timedelta(minutes=15))
    claims = jwt.decode(token, public, [ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options={"verify_exp": False})
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
    assert claims.pop("jti") != jwt.decode(
        sign_access_token(key, USER, UUID(int=8), now=NOW, life=timedelta(0)), options={"verify_signature": False}
    )["jti"]  # fmt: skip
    assert claims == {
        "iss": "comfyfleet", "aud": "comfyfleet", "sub": str(UUID(int=7)), "sid": str(UUID(int=8)),
        "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 900, "username": "alice", "tier": "pro",
        "role": "user", "rpm": 600, "own": False, "ver": 9,
    }  # fmt: skip
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SigningKey.generate().private.public_key(), [ALGORITHM], audience=AUDIENCE)


def links(count: int) -> list[tuple[ChainEntry, bytes]]:
    made, last = [], GENESIS_HASH
    for number in range(1, count + 1):
        link = ChainEntry(number, NOW, "session.opened", UUID(int=1), UUID(int=1), "::1", None, {"n": number})
        last = hash_entry(last, link)
        made.append((link, last))
    return made


def broken_at(entries: list[tuple[ChainEntry, bytes]]) -> int | None:
    chain = ChainVerifier()
    return next((link.id for link, hash_ in entries if not chain.verify_next(link, hash_)), None)


@pytest.mark.requirement("S-82")
def test_audit_chain_breaks_at_the_tampered_entry() -> None:
    whole = links(5)
    assert broken_at(whole) is None
    changes: dict[str, Any] = {"action": "x", "at": NOW + timedelta(microseconds=1), "actor_id": None, "detail": {}}
    for field, value in changes.items():
        touched = list(whole)
        touched[2] = (replace(touched[2][0], **{field: value}), touched[2][1])
        assert broken_at(touched) == 3
    assert broken_at(whole[:2] + whole[3:]) == 4
    assert broken_at(whole[1:]) == 2
    rehashed = replace(whole[2][0], ip=None)
    assert broken_at([*whole[:2], (rehashed, hash_entry(whole[1][1], rehashed)), *whole[3:]]) == 4


@pytest.mark.requirement("S-82")
def test_audit_hash_does_not_depend_on_the_time_zone() -> None:
    link = links(1)[0][0]
    east = replace(link, at=datetime.fromisoformat("2026-11-23T14:00:00+02:00"))
    assert hash_entry(GENESIS_HASH, east) == hash_entry(GENESIS_HASH, link)
    assert json.loads(json.dumps(link.as_json()))["at"] == "2026-11-23T12:00:00.000000+00:00"
