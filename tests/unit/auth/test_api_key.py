"""API keys: format and verification."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from auth.domain.api_key import ALPHABET, ApiKey, ApiKeyPepper, new_api_key, parse_api_key


def test_new_key_parses() -> None:
    key = new_api_key()
    assert parse_api_key(key.text) == key
    assert key.text.startswith("cf_")


@given(position=st.integers(3, 52), letter=st.sampled_from(ALPHABET))
def test_key_with_one_wrong_character_is_invalid(position: int, letter: str) -> None:
    text = ApiKey(id="A" * 12, secret="b" * 32).text
    if text[position] in {letter, "_"}:
        return
    assert parse_api_key(text[:position] + letter + text[position + 1 :]) is None


def test_text_that_resembles_a_key_is_invalid() -> None:
    text = new_api_key().text
    for other in (
        "",
        "cf_",
        text + " ",
        " " + text,
        text[:-1],
        text + "0",
        text.replace("cf_", "CF_"),
        text + "\n",
        "cf_\u0661",
    ):
        assert parse_api_key(other) is None


def test_digest_matches_only_its_own_key() -> None:
    pepper, key, other = ApiKeyPepper("secret"), new_api_key(), new_api_key()
    digest = pepper.digest(key)
    assert pepper.matches(key, digest)
    assert not pepper.matches(other, digest)
    assert not pepper.matches(ApiKey(id=other.id, secret=key.secret), digest)
    assert not ApiKeyPepper("another").matches(key, digest)
    assert key.secret.encode() not in digest


def test_derived_key_is_a_valid_key() -> None:
    pepper, user = ApiKeyPepper("secret"), uuid4()
    key = pepper.derive_key("A" * 12, user=user, idempotency_key="k", salt=bytes(32))
    assert parse_api_key(key.text) == key
    assert pepper.derive_key("A" * 12, user=user, idempotency_key="k", salt=bytes(32)) == key


def test_derived_key_differs_for_every_other_request() -> None:
    pepper, user = ApiKeyPepper("secret"), uuid4()
    secrets = {
        pepper.derive_key("A" * 12, user=user, idempotency_key="k", salt=bytes(32)).secret,
        pepper.derive_key("B" * 12, user=user, idempotency_key="k", salt=bytes(32)).secret,
        pepper.derive_key("A" * 12, user=uuid4(), idempotency_key="k", salt=bytes(32)).secret,
        pepper.derive_key("A" * 12, user=user, idempotency_key="l", salt=bytes(32)).secret,
        pepper.derive_key("A" * 12, user=user, idempotency_key="k", salt=bytes(31) + b"1").secret,
        ApiKeyPepper("another").derive_key("A" * 12, user=user, idempotency_key="k", salt=bytes(32)).secret,
    }
    assert len(secrets) == 6
    assert set("".join(secrets)) <= set(ALPHABET)
