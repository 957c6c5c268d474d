"""Password rules and password hashes."""

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from passlib.context import CryptContext

from auth.domain.password import MIN_LENGTH, MIN_OTHER_CHARACTERS, PasswordPolicy, normalize_password
from auth.domain.password_hash import PasswordCheck, PasswordHasher, create_argon2_context
from contracts.auth.accounts import PASSWORD_MAX

GOOD = "three words of mine"
CHEAP = create_argon2_context(memory_kib=8, passes=1)


def fault(
    password: str, *, username: str = "alice", email: str = "a.liddell@example.org", least: int = 15
) -> str | None:
    errors = PasswordPolicy(least).validate(password, username=username, email=email, pointer="/password")
    assert all(error.pointer == "/password" for error in errors)
    return errors[0].code if errors else None


@pytest.mark.requirement("S-30")
@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        " leading and trailing spaces ",
        "пароль из нескольких слов",
        "nul \0 and \n and \x1b are characters",
        "🦄 🐙 🦉 🐝 🦊 🐢 🦀 🐳",
        "correct horse battery staple" * 9,
    ],
)
def test_password_may_use_any_characters(password: str) -> None:
    assert fault(password) is None


@pytest.mark.requirement("B-30")
@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password_too_short"),
        ("fourteen chars", "password_too_short"),
        ("\ufdfa", "password_too_short"),  # one character, 18 after normalization
        ("e\u0301" * 8, "password_too_short"),  # sixteen characters, eight after normalization
        ("ab c" * 65, "password_too_long"),
        ("\ufdfa" * 20, "password_too_long"),
        (" " * 20, "password_repetitive"),
        ("abcabcabcabcabc", "password_repetitive"),
        ("passwordpassword", "password_common"),
        ("PasswordPassword", "password_common"),
        ("  password123    ", "password_common"),
        ("alice-ALICE-2026", "password_context"),
        ("comfyfleet-alice1", "password_context"),
        ("a.liddell1234567", "password_context"),
    ],
)
def test_easily_guessed_password_is_refused(password: str, code: str) -> None:
    assert fault(password) == code


@pytest.mark.requirement("S-30")
def test_common_passwords_of_sufficient_length_are_refused() -> None:
    assert fault("computer", least=MIN_OTHER_CHARACTERS) == "password_common"
    assert fault("\uff43omputer", least=MIN_OTHER_CHARACTERS) == "password_common"
    assert fault("1q2w3e4r5t", least=MIN_OTHER_CHARACTERS) == "password_common"


@pytest.mark.requirement("S-30")
@given(st.text(max_size=300))
def test_password_errors_do_not_echo_the_password(password: str) -> None:
    errors = PasswordPolicy().validate(password, username="alice", email="a@example.org", pointer="/password")
    for error in errors:
        assert len(password) < 12 or password not in error.model_dump_json()
    if not errors:
        assert MIN_LENGTH <= len(normalize_password(password)) <= PASSWORD_MAX


@pytest.mark.requirement("B-30")
def test_leading_and_trailing_spaces_of_a_password_count() -> None:
    hashes = PasswordHasher(CHEAP)
    long = "0123456789 " * 23
    stored = hashes.hash(long)
    assert hashes.verify(long, stored).matches
    for other in (long[:-1], long.strip(), " " + long, long + "x", long[:72], ""):
        assert not hashes.verify(other, stored).matches


@pytest.mark.requirement("S-30")
def test_unicode_equivalent_passwords_match() -> None:
    hashes = PasswordHasher(CHEAP)
    stored = hashes.hash("\uff43afé de la gare")
    assert hashes.verify("cafe\u0301 de la gare", stored).matches


@pytest.mark.requirement("S-31")
def test_password_hash_is_argon2id_with_the_minimum_cost() -> None:
    stored = PasswordHasher().hash(GOOD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(GOOD, stored).upgraded is None


@pytest.mark.requirement("S-31")
def test_weaker_hash_is_upgraded_only_by_the_right_password() -> None:
    hashes = PasswordHasher(create_argon2_context(memory_kib=16, passes=2))
    stored = PasswordHasher(CHEAP).hash(GOOD)
    upgraded = hashes.verify(GOOD, stored).upgraded
    assert upgraded is not None
    assert hashes.verify(GOOD, upgraded) == PasswordCheck(matches=True)
    assert hashes.verify("not " + GOOD, stored).upgraded is None


@pytest.mark.requirement("S-31")
def test_bcrypt_hash_is_verified_and_upgraded() -> None:
    hashes = PasswordHasher(CHEAP)
    stored = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(4)).decode()
    checked = hashes.verify(GOOD, stored)
    assert checked.matches
    assert (checked.upgraded or "").startswith("$argon2id$")
    assert not hashes.verify(GOOD + "x", stored).matches


@pytest.mark.requirement("S-30")
def test_bcrypt_does_not_match_truncated_passwords() -> None:
    hashes = PasswordHasher(CHEAP)
    stored = bcrypt.hashpw(b"y" * 72, bcrypt.gensalt(4)).decode()
    assert hashes.verify("y" * 72, stored).matches
    assert not hashes.verify("y" * 73, stored).matches
    assert not hashes.verify("é" * 37, stored).matches
    assert not hashes.verify("y\0y", stored).matches


class Counting(CryptContext):  # type: ignore[misc] # passlib has no types
    """A hasher that counts its argon2 calls."""

    verified = 0

    def verify(self, secret: str, hash: str, **more: object) -> bool:  # noqa: A002 - passlib's name
        self.verified += hash.startswith("$argon2")
        return bool(super().verify(secret, hash, **more))

    def verify_and_update(self, secret: str, hash: str, **more: object) -> tuple[bool, str | None]:  # noqa: A002
        matches, upgraded = super().verify_and_update(secret, hash, **more)
        self.verified += hash.startswith("$argon2")
        return bool(matches), upgraded


@pytest.mark.requirement("S-34")
def test_login_verifies_one_argon2_hash_for_any_username() -> None:
    context = Counting(**CHEAP.to_dict())
    hashes = PasswordHasher(context)
    ours = hashes.hash(GOOD)
    bcrypts = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(4)).decode()
    asked = [(GOOD, ours), ("wrong", ours), (GOOD, None), ("", None), ("\ufdfa" * 1024, ours), ("x", bcrypts)]
    for number, (password, stored) in enumerate(asked, start=1):
        hashes.verify(password, stored)
        assert context.verified == number
