"""Forged access tokens are refused. Each forgery is signed as well as an attacker could."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from authn.access_tokens import LEEWAY_S, parse_key_id, parse_verification_keys, verify_access_token
from contracts.auth.accounts import Role
from contracts.auth.credentials import InvalidCredential, Jwk, Principal, Scope
from contracts.auth.tiers import Tier
from tests.kit.scripted_auth import ScriptedAuth, SigningKey

ALICE = UUID("0193a6c0-0000-7000-8000-000000000001")
AUTH = ScriptedAuth()
KEYS = parse_verification_keys([AUTH.signing.jwk])
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": AUTH.signing.kid}


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(header: dict[str, Any] | str, claims: dict[str, Any] | str, key: SigningKey | None = None) -> str:
    """Return a token with a valid signature and arbitrary claims."""
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    said = ".".join(b64(part.encode()) for part in parts)
    return f"{said}.{b64((key or AUTH.signing).private.sign(said.encode()))}"


def saying(**claims: Any) -> str:
    return signed(HEADER, AUTH.claims(ALICE) | claims)


def headed(**header: Any) -> str:
    return signed(HEADER | header, AUTH.claims(ALICE))


def lacking(claim: str) -> str:
    return signed(HEADER, {name: value for name, value in AUTH.claims(ALICE).items() if name != claim})


def now(after_s: int = 0) -> int:
    return int(AUTH.claims(ALICE)["iat"]) + after_s


def refused(token: str) -> None:
    with pytest.raises(InvalidCredential):
        verify_access_token(token, KEYS)


@pytest.mark.requirement("S-40")
def test_valid_token_identifies_its_user() -> None:
    sid = uuid4()
    token = AUTH.token(ALICE, sid=str(sid), role="admin", tier="basic", rpm=7, own=True, ver=3, username="älice")
    principal = verify_access_token(token, KEYS)
    assert principal == Principal(
        user_id=ALICE, username="älice", tier=Tier.BASIC, role=Role.ADMIN, scopes=tuple(Scope), requests_per_minute=7,
        own_limits=True, version=3, session_id=sid, expires_at=principal.expires_at,
    )  # fmt: skip
    assert parse_key_id(token) == AUTH.signing.kid
    assert Scope.ADMIN not in verify_access_token(saying(), KEYS).scopes


def by_hmac(secret: bytes, alg: str = "HS256") -> str:
    said = f"{b64(json.dumps(HEADER | {'alg': alg}).encode())}.{b64(json.dumps(AUTH.claims(ALICE)).encode())}"
    mac = hmac.new(secret, said.encode(), hashlib.sha512).digest()
    return f"{said}.{b64(mac)}"


PUBLIC = AUTH.signing.private.public_key()
NO_SIGNATURE = jwt.encode(AUTH.claims(ALICE), "", algorithm="none", headers=HEADER | {"alg": "none"})
FORGERIES: dict[str, Callable[[], str]] = {
    "none": lambda: NO_SIGNATURE,
    "none-with-a-signature": lambda: headed(alg="none"),
    "none-in-capitals": lambda: headed(alg="NoNe"),
    "hs256-with-the-raw-public-key": lambda: by_hmac(PUBLIC.public_bytes_raw()),
    "hs512-with-the-public-pem": lambda: by_hmac(
        PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "HS512"
    ),
    "eddsa-by-hmac": lambda: by_hmac(PUBLIC.public_bytes_raw(), "EdDSA"),
    "es256": lambda: headed(alg="ES256"),
    "ed25519-as-a-name": lambda: headed(alg="Ed25519"),
    "alg-as-a-list": lambda: headed(alg=["EdDSA"]),
    "stripped-signature": lambda: saying().rsplit(".", 1)[0] + ".",
    "no-signature-segment": lambda: saying().rsplit(".", 1)[0],
    "a-zero-signature": lambda: saying().rsplit(".", 1)[0] + "." + "A" * 86,
    "a-truncated-signature": lambda: saying()[:-1],
    "another-key-under-our-kid": lambda: AUTH.token(ALICE, key=SigningKey(AUTH.signing.kid)),
    "a-signature-of-another-token": lambda: saying().rsplit(".", 1)[0] + "." + saying().rsplit(".", 1)[1],
    "four-segments": lambda: saying() + ".AA",
    "padding": lambda: saying() + "==",
    "white-space": lambda: saying() + "\n",
    "a-private-key": lambda: AUTH.signing.private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode(),
    "empty": lambda: "",
    "dots": lambda: "..",
    "not-base64": lambda: "$.$.$",
    "header-no-object": lambda: signed("[]", AUTH.claims(ALICE)),
    "header-nested-deeply": lambda: signed("[" * 290, AUTH.claims(ALICE)),
    "claims-no-object": lambda: signed(HEADER, '"EdDSA"'),
    "claims-nested-deeply": lambda: signed(HEADER, '{"a":' + "[" * 2500),
    "claims-no-utf8": lambda: signed(HEADER, "{}").replace(".e30.", f".{b64(bytes([0xFF, 0xFE]))}."),
}


@pytest.mark.requirement("S-40", "S-43", "S-44")
@pytest.mark.parametrize("name", FORGERIES)
def test_token_not_signed_by_auth_is_refused(name: str) -> None:
    refused(FORGERIES[name]())


@pytest.mark.requirement("S-43")
@pytest.mark.parametrize(
    "kid",
    [
        "../../etc/passwd", "' OR 1=1 --", "k1\x00", "", "k2", "k1 ", "K1", "/dev/null", "k" * 65, 1, None, ["k1"],
        {"kid": "k1"}, True, "http://127.0.0.1/k1",
    ],
)  # fmt: skip
def test_key_id_with_path_or_query_is_refused(kid: object) -> None:
    refused(headed(kid=kid))


@pytest.mark.requirement("S-43")
def test_oversized_key_id_and_token_are_refused_unparsed() -> None:
    refused(headed(kid="k" * (1 << 20)))
    refused(saying(pad="x" * 1_000_000))
    refused(saying(pad="x" * 4096))
    assert verify_access_token(saying(pad="x" * 1000), KEYS).user_id == ALICE


@pytest.mark.requirement("S-42")
@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/cert"}, {"x5c": ["MII"]},
        {"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"b64": True}, {"zip": "DEF"},
        {"cty": "JWT"}, {"jwk": AUTH.signing.jwk.model_dump()},
    ],
    ids=lambda more: next(iter(more)),
)  # fmt: skip
def test_token_header_with_other_fields_is_refused(more: dict[str, object]) -> None:
    refused(headed(**more))


@pytest.mark.requirement("S-43")
def test_key_embedded_in_the_token_is_not_used() -> None:
    own = SigningKey("mine")
    for header in (HEADER | {"jwk": own.jwk.model_dump()}, HEADER | {"kid": "mine", "jwk": own.jwk.model_dump()}):
        refused(signed(header, AUTH.claims(ALICE), own))


@pytest.mark.requirement("S-42")
@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/at+jwt", "AT+JWT", "", None, ["at+jwt"], "rt+jwt"])
def test_token_of_another_type_is_refused(typ: object) -> None:
    refused(headed(typ=typ))


@pytest.mark.requirement("S-42")
@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
def test_token_header_without_a_required_field_is_refused(name: str) -> None:
    refused(signed({key: value for key, value in HEADER.items() if key != name}, AUTH.claims(ALICE)))


@pytest.mark.requirement("S-43")
def test_token_with_duplicate_fields_is_refused() -> None:
    claims = json.dumps(AUTH.claims(ALICE))[1:-1]
    assert verify_access_token(signed(HEADER, f"{{{claims}}}"), KEYS).user_id == ALICE
    for twice in (
        f'"sub": "{ALICE}"',
        f'"exp": {now(900)}',
        '"role": "admin"',
        '"x": 1, "x": 1',
        '"x": {"y": 1, "y": 2}',
    ):
        refused(signed(HEADER, f"{{{claims}, {twice}}}"))
    refused(signed('{"alg": "none", ' + json.dumps(HEADER)[1:], AUTH.claims(ALICE)))
    refused(signed('{"kid": "k2", ' + json.dumps(HEADER)[1:], AUTH.claims(ALICE)))


@pytest.mark.requirement("S-41")
@pytest.mark.parametrize("claim", ["exp", "iat", "aud", "iss", "sub", "jti", "sid", "ver"])
def test_token_without_a_required_claim_is_refused(claim: str) -> None:
    refused(lacking(claim))
    refused(saying(**{claim: None}))


@pytest.mark.requirement("S-43")
@pytest.mark.parametrize("claim", ["exp", "aud", "iss", "sub", "jti", "sid", "ver", "username", "tier", "role", "own"])
@pytest.mark.parametrize("value", [True, 1.5, [], {}, ["comfyfleet"], "x" * 65])
def test_claim_of_the_wrong_type_is_refused(claim: str, value: object) -> None:
    if (claim, value) in (("own", True), ("username", "x" * 65)):
        assert verify_access_token(saying(**{claim: value}), KEYS).user_id == ALICE
    else:
        refused(saying(**{claim: value}))


@pytest.mark.requirement("S-43")
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["comfyfleet"]}, {"aud": "other"}, {"aud": ""}, {"iss": "other"}, {"iss": ["comfyfleet"]},
        {"sub": "\u0661" * 32}, {"sub": "alice"}, {"sub": f"{ALICE}\u200b"}, {"sub": ""}, {"sid": "k"}, {"rpm": "7"},
        {"rpm": 7.0}, {"rpm": True}, {"ver": -1}, {"ver": "3"}, {"ver": 1 << 64}, {"tier": "gold"}, {"role": "root"},
        {"own": 1}, {"own": None}, {"jti": ""}, {"exp": "never"}, {"exp": -1}, {"exp": 1 << 40}, {"exp": 10**400},
        {"nbf": "now"}, {"iat": "now"},
    ],
    ids=str,
)  # fmt: skip
def test_claim_of_an_unexpected_value_is_refused(claims: dict[str, object]) -> None:
    refused(saying(**claims))


@pytest.mark.requirement("S-43")
@pytest.mark.parametrize("exp", ["1e400", "-1e400", "Infinity", "NaN", "1e10", "9999999999.0", "1.0e0"])
def test_fractional_or_huge_token_times_are_refused(exp: str) -> None:
    claims = json.dumps(AUTH.claims(ALICE) | {"exp": 0}).replace('"exp": 0', f'"exp": {exp}')
    refused(signed(HEADER, claims))


@pytest.mark.requirement("S-41", "S-43")
def test_token_is_valid_only_between_its_times() -> None:
    assert LEEWAY_S <= 30
    for claims in ({"exp": now(-LEEWAY_S - 2)}, {"nbf": now(LEEWAY_S + 30)}, {"iat": now(LEEWAY_S + 30)}, {"exp": 0}):
        refused(saying(**claims))
    for claims in ({"exp": now(-LEEWAY_S // 2)}, {"nbf": now()}, {"iat": now(LEEWAY_S // 2)}):
        assert verify_access_token(saying(**claims), KEYS).user_id == ALICE


@pytest.mark.requirement("S-44", "F-152")
@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "oct"}, {"kty": "RSA"}, {"crv": "X25519"}, {"crv": "P-256"}, {"use": "enc"}, {"alg": "HS256"},
        {"kid": "../k"}, {"kid": ""}, {"x": ""}, {"x": "A" * 42}, {"x": "A" * 1_000_000}, {"x": "$" * 43},
    ],
    ids=str,
)  # fmt: skip
def test_keyset_entry_of_another_key_type_is_skipped(changed: dict[str, str]) -> None:
    good, bad = AUTH.signing.jwk, Jwk(**AUTH.signing.jwk.model_dump() | {"kid": "k9"} | changed)
    assert list(parse_verification_keys([bad, good])) == [good.kid]


@pytest.mark.requirement("S-45")
def test_all_keys_of_a_rotation_verify_tokens() -> None:
    old, new = SigningKey("old"), SigningKey("new")
    keys = parse_verification_keys([old.jwk, new.jwk])
    found: list[UUID] = [verify_access_token(AUTH.token(ALICE, key=key), keys).user_id for key in (old, new)]
    assert found == [ALICE, ALICE]
    with pytest.raises(InvalidCredential):
        verify_access_token(AUTH.token(ALICE, key=old), parse_verification_keys([new.jwk]))
