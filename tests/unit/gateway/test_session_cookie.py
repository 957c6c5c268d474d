import pytest
from fastapi import Request, Response
from pydantic import SecretStr

from contracts.auth.sessions import SessionTokens
from gateway.accounts.session_cookie import SessionCookie


@pytest.mark.requirement("S-49")
def test_cookie_is_sent_over_tls_only_where_clients_use_https() -> None:
    response = Response()
    session = SessionTokens(access_token=SecretStr("a"), refresh_token=SecretStr("cfr_x"), expires_in=900)
    SessionCookie("https://api.example").set_cookie_and_build_body(response, session)
    parts = response.headers["set-cookie"].split("; ")
    assert parts[0] == "__Secure-comfyfleet_refresh=cfr_x"
    assert {part.lower() for part in parts[1:]} == {
        "httponly", "path=/api/v1/auth/refresh", "samesite=strict", "secure",
    }  # fmt: skip


@pytest.mark.requirement("S-49")
@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("https://api.example", True),  # the public address is accepted whatever Host header a proxy passes on
        ("https://internal:8000", True),
        ("http://api.example", False),
        ("https://api.example.evil", False),
        ("https://app.api.example", False),
        ("null", False),
    ],
)
def test_origin_header_decides_whether_a_request_comes_from_the_services_own_page(origin: str, *, is_own: bool) -> None:
    headers = [(b"origin", origin.encode()), (b"host", b"internal:8000")]
    request = Request({"type": "http", "headers": headers})
    assert SessionCookie("https://api.example").is_from_own_page(request) is is_own
