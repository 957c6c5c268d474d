"""Usernames and addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.account import account_errors, is_username, login_name, normalised_email

GOOD, MAIL = "alice", "alice@example.org"


@pytest.mark.parametrize("name", ["abc", "A.b-c_9", "1st", "x" * 32])
def test_b_31_this_is_a_username(name: str) -> None:
    assert is_username(name)


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 33, ".abc", "abc-", "a b", "a@b.c", "ab\n", "abc\0", "\u0430lice", "\uff41bc", "a/../b"]
)
def test_b_31_this_is_no_username(name: str) -> None:
    assert not is_username(name)
    (error,) = account_errors(name, MAIL)
    assert (error.pointer, error.code) == ("/username", "username_invalid")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice+tag@EXAMPLE.Org", "Alice+tag@example.org"),
        ("a.b@xn--bcher-kva.example", "a.b@xn--bcher-kva.example"),
        ("x" * 64 + "@" + ".".join(["d" * 61] * 3) + ".org", "x" * 64 + "@" + ".".join(["d" * 61] * 3) + ".org"),
    ],
)
def test_b_31_this_is_an_address(sent: str, kept: str) -> None:
    assert normalised_email(sent) == kept


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
        "\u0430lice@example.org",  # a Cyrillic letter that looks like ours
        "alice@ex\u0430mple.org",
        "x" * 65 + "@example.org",
        "a@" + "d" * 64 + ".org",
        "a@" + ".".join(["d" * 62] * 4) + ".org",  # 255 and more
    ],
)
def test_b_31_this_is_no_address(sent: str) -> None:
    assert normalised_email(sent) is None
    (error,) = account_errors(GOOD, sent)
    assert (error.pointer, error.code) == ("/email", "email_invalid")


@given(st.text())
def test_b_31_whatever_is_accepted_is_plain(text: str) -> None:
    kept = normalised_email(text + "@example.org")
    assert kept is None or (kept.isascii() and kept.isprintable() and " " not in kept)


@given(st.text())
def test_b_32_what_no_account_is_called_is_looked_up_as_nothing(text: str) -> None:
    name = login_name(text)
    assert name in {text.lower(), ""}
    assert name.isascii()
    assert "\0" not in name
