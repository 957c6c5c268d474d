"""Extraction of the credential from a request."""

import pytest
from starlette.datastructures import Headers

from authn.credentials import read_credentials


@pytest.mark.requirement("B-30")
@pytest.mark.parametrize(
    ("name", "value", "credential"),
    [
        ("x-api-key", "cf_key", "cf_key"),
        ("x-api-key", "cf_key\n", None),
        ("x-api-key", "cf key", None),
        ("x-api-key", "", None),
        ("x-api-key", "k" * 4097, None),
        ("authorization", "bEARER  a.b.c", "a.b.c"),
        ("authorization", "Bearer a.b.c\n", None),
        ("authorization", "Bearer a b", None),
        ("authorization", "Basic a.b.c", None),
    ],
)
def test_credential_is_visible_ascii_without_trailing_text(name: str, value: str, credential: str | None) -> None:
    assert read_credentials(Headers({name: value})) == [credential]


@pytest.mark.requirement("B-30")
def test_every_presented_credential_is_read() -> None:
    headers = Headers(raw=[(b"x-api-key", b"a"), (b"authorization", b"Bearer b"), (b"x-api-key", b"c")])
    assert read_credentials(headers) == ["a", "c", "b"]
