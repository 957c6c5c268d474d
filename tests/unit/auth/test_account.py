"""Validation of usernames and email addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.account import is_username, normalize_email, normalize_login_name, validate_account

GOOD, MAIL = "alice", "alice@example.org"


@pytest.mark.requirement("B-31")
@pytest.mark.parametrize("name", ["abc", "A.b-c_9", "1st", "x" * 32])
def test_valid_username_is_accepted(name: str) -> None:
    assert is_username(name)


@pytest.mark.requirement("B-31")
@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 33, ".abc", "abc-", "a b", "a@b.c", "ab\n", "abc\0", "\u0430lice", "\uff41bc", "a/../b"]
)
def test_invalid_username_is_refused(name: str) -> None:
    assert not is_username(name)
    (error,) = validate_account(name, MAIL)
    assert (error.pointer, error.code) == ("/username", "username_invalid")


@pytest.mark.requirement("B-31")
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice+tag@EXAMPLE.Org", "Alice+tag@example.org"),
        ("a.b@xn--bcher-kva.example", "a.b@xn--bcher-kva.example"),
        ("x" * 64 + "@" + ".".join(["d" * 61] * 3) + ".org", "x" * 64 + "@" + ".".join(["d" * 61] * 3) + ".org"),
    ],
)
def test_valid_email_address_is_accepted(sent: str, kept: str) -> None:
    assert normalize_email(sent) == kept


@pytest.mark.requirement("B-31")
@pytest.mark.parametrize(
    "sent",
    [
        "",
        "@",
        "a@",
        "@example.org",
        "alice",
        "a@b@example.org",
        "a@localhost",
        "a@127.0.0.1",
        "a@[127.0.0.1]",
        "a@example..org",
        "a@-example.org",
        "a@example-.org",
        "a..b@example.org",
        ".a@example.org",
        '"a b"@example.org',
        "a@example.org\n",
        "a@example.org\r\nBcc: b@example.org",
        "a\0@example.org",
        "\u0430lice@example.org",  # a Cyrillic letter that looks like a Latin one
        "alice@ex\u0430mple.org",
        "x" * 65 + "@example.org",
        "a@" + "d" * 64 + ".org",
        "a@" + ".".join(["d" * 62] * 4) + ".org",  # 255 or more
    ],
)
def test_invalid_email_address_is_refused(sent: str) -> None:
    assert normalize_email(sent) is None
    (error,) = validate_account(GOOD, sent)
    assert (error.pointer, error.code) == ("/email", "email_invalid")


@pytest.mark.requirement("B-31")
@given(st.text())
def test_accepted_names_have_no_control_characters(text: str) -> None:
    kept = normalize_email(text + "@example.org")
    assert kept is None or (kept.isascii() and kept.isprintable() and " " not in kept)


@pytest.mark.requirement("B-32")
@given(st.text())
def test_login_name_is_lower_case_ascii_or_empty(text: str) -> None:
    name = normalize_login_name(text)
    assert name in {text.lower(), ""}
    assert name.isascii()
    assert "\0" not in name
