"""The cookie with the refresh token of a browser session. Scripts cannot read it."""

from typing import Any

from fastapi import Request, Response
from pydantic import SecretStr

from contracts.auth.sessions import InvalidRefreshToken, SessionTokens
from gateway.accounts.errors import ForeignPage
from gateway.accounts.schemas import CookieSessionBody, build_cookie_session_body
from gateway.edge.page_origin import is_own_page

SET_COOKIE: dict[str, Any] = {
    "headers": {
        "Set-Cookie": {"description": "The refresh token of a session in a cookie.", "schema": {"type": "string"}}
    }
}
"""For the OpenAPI document: a response that may set the cookie."""

REFRESH_PATH = "/api/v1/auth/refresh"
COOKIE_NAME = "comfyfleet_refresh"


class SessionCookie:
    """Writes and reads the cookie. Only pages of this server may have it written or read.

    Args:
        public_url: origin that clients see. With https the cookie is sent over TLS only.
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._is_secure = public_url.startswith("https://")
        self._name = f"__Secure-{COOKIE_NAME}" if self._is_secure else COOKIE_NAME

    def require_own_page(self, request: Request) -> None:
        """Check that the request comes from a page of this server.

        Raises:
            ForeignPage: the request comes from another page, or from no page.
        """
        if not self.is_from_own_page(request):
            raise ForeignPage

    def is_from_own_page(self, request: Request) -> bool:
        """Whether a page of this server sends the request, according to the browser."""
        headers = request.headers
        return is_own_page(
            sites=headers.getlist("sec-fetch-site"),
            origins=headers.getlist("origin"),
            host=headers.get("host", ""),
            public_url=self._public_url,
        )

    def read_refresh_token(self, request: Request) -> SecretStr:
        """Return the refresh token of a request from a page of this server.

        Raises:
            ForeignPage: the request comes from another page, or from no page.
            InvalidRefreshToken: there is no cookie, or several, of which a neighbouring domain can have set one.
        """
        self.require_own_page(request)
        pairs = (
            pair.strip().partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";")
        )
        values = [value for name, _, value in pairs if name == self._name]
        if len(values) != 1 or not 0 < len(values[0]) <= 1024:
            raise InvalidRefreshToken
        return SecretStr(values[0])

    def set_cookie_and_build_body(self, response: Response, session: SessionTokens) -> CookieSessionBody:
        """Set the cookie, which lives as long as the token works. Return the body without the refresh token."""
        self._write_cookie(response, session.refresh_token.get_secret_value(), session.refresh_expires_in)
        return build_cookie_session_body(session)

    def delete_cookie(self, request: Request, response: Response) -> None:
        """Have the browser delete the cookie, if a page of this server sends the request."""
        if self.is_from_own_page(request):
            self._write_cookie(response, "", 0)

    def _write_cookie(self, response: Response, value: str, max_age_s: int | None) -> None:
        response.set_cookie(
            self._name, value, max_age=max_age_s, path=REFRESH_PATH, secure=self._is_secure, httponly=True,
            samesite="strict",
        )  # fmt: skip
