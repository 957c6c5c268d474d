"""Request ids of clients: accepted if valid, else replaced."""

import pytest

from chassis.ids import choose_request_id

VALID = ["a", "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "job.7_retry-2", "A" * 64]
INVALID = [
    "", "a b", "a:b", "a\n", "\na", "a\r\nSet-Cookie: x", "a\x00", "\u0661", "\u00e9", "a" * 65, "a" * 8_000_000, "a/b",
    '{"a":1}', "\x1b[31mred", "a,b", "\u202ea", "%0a", "a\t",
]  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_plain_request_id_is_accepted(text: str) -> None:
    assert choose_request_id(text) == text


@pytest.mark.parametrize("text", INVALID, ids=range(len(INVALID)))
def test_invalid_request_id_is_replaced(text: str) -> None:
    first, second = choose_request_id(text), choose_request_id(text)
    assert first != second
    assert all(len(made) == 32 and made.isalnum() and made.isascii() for made in (first, second))
