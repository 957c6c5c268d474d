"""Browser sessions with the refresh token in a cookie, with the real auth service."""

import asyncio
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from tests.integration.gateway.long_timeouts import client_with_long_timeout
from tests.integration.gateway.real_auth import PASSWORD, House, bearer
from tests.kit.waiting import until

AUTH = "/api/v1/auth"
COOKIE = "comfyfleet_refresh"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def browser(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A client with its own cookies that sends the headers a browser sends for a page of this server."""
    async with client_with_long_timeout(house.http.base_url.netloc.decode(), headers=OWN_PAGE) as client:
        yield client


async def sign_in(house: House, browser: httpx.AsyncClient) -> httpx.Response:
    user = await house.account()
    answer = httpx.Response(503)

    async def is_answered() -> bool:
        nonlocal answer
        body = {"username": user["username"], "password": PASSWORD, "session": "cookie"}
        answer = await browser.post(f"{AUTH}/login", json=body)
        return answer.status_code != 503

    await until(is_answered)
    assert answer.status_code == 200, answer.text
    return answer


def set_cookie(answer: httpx.Response) -> dict[str, Any]:
    """Return value and attributes of the only cookie that the response sets."""
    (header,) = answer.headers.get_list("set-cookie")
    (morsel,) = SimpleCookie(header).values()
    assert morsel.key == COOKIE
    return {"value": morsel.value} | {name: value for name, value in morsel.items() if value}


@pytest.mark.requirement("S-49", "POST /api/v1/auth/refresh")
async def test_browser_session_keeps_its_refresh_token_in_a_cookie_until_logout(
    house: House, browser: httpx.AsyncClient
) -> None:
    answer = await sign_in(house, browser)
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    first = set_cookie(answer)
    assert first["value"].startswith("cfr_")
    assert {name: value for name, value in first.items() if name != "value"} == {
        "httponly": True, "samesite": "strict", "path": "/api/v1/auth/refresh", "max-age": str(7 * 86400),
    }  # fmt: skip
    assert "cookie" not in (await browser.get(f"{AUTH}/me", headers=bearer(answer.json()))).request.headers

    renewed = await browser.post(f"{AUTH}/refresh")  # as after a reload: only the cookie is left
    assert renewed.json().keys() == {"access_token", "token_type", "expires_in"}
    assert set_cookie(renewed)["value"] != first["value"]

    tabs = await asyncio.gather(*(browser.post(f"{AUTH}/refresh") for _ in range(2)))
    assert [tab.status_code for tab in tabs] == [200, 200]
    access = (await browser.post(f"{AUTH}/refresh")).json()
    kept = browser.cookies[COOKIE]

    ended = await browser.post(f"{AUTH}/logout", headers=bearer(access))
    assert (ended.status_code, set_cookie(ended)["max-age"]) == (204, "0")
    assert COOKIE not in browser.cookies
    for cookies in ({}, {"Cookie": f"{COOKIE}={kept}"}):
        refused = await browser.post(f"{AUTH}/refresh", headers=cookies)
        assert (refused.status_code, refused.json()["code"]) == (401, "auth.refresh.invalid")

    async def token_is_refused() -> bool:
        return (await browser.get(f"{AUTH}/me", headers=bearer(access))).status_code == 401

    await until(token_is_refused)


@pytest.mark.requirement("S-49")
async def test_other_pages_cannot_use_the_session_of_a_browser(house: House, browser: httpx.AsyncClient) -> None:
    access = (await sign_in(house, browser)).json()
    cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
    host = house.http.base_url.netloc.decode()
    other_pages: tuple[dict[str, str], ...] = (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{host}"},
        {"Origin": "https://evil.example"},
        {"Origin": f"https://{host}"},
        {"Origin": "null"},
    )
    credentials = {"username": "ada", "password": PASSWORD, "session": "cookie"}
    for headers in other_pages:
        for request in (
            house.http.post(f"{AUTH}/refresh", headers=headers | {"Cookie": cookie}),
            house.http.post(f"{AUTH}/login", headers=headers, json=credentials),
        ):
            answer = await request
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.session.foreign_page"), headers
            assert "set-cookie" not in answer.headers
    two = await browser.post(f"{AUTH}/refresh", headers={"Cookie": f"{COOKIE}=cfr_planted; {cookie}"})
    assert (two.status_code, two.json()["code"]) == (401, "auth.refresh.invalid")

    lan = await house.http.post(f"{AUTH}/refresh", headers={"Origin": f"http://{host}", "Cookie": cookie})
    assert lan.status_code == 200  # browsers leave out Sec-Fetch-Site on plain http to another machine
    by_other_page = await house.http.post(f"{AUTH}/logout", headers=bearer(access))
    assert (by_other_page.status_code, "set-cookie" in by_other_page.headers) == (204, False)


@pytest.mark.requirement("S-85", "GET /api/v1/auth/sessions", "DELETE /api/v1/auth/sessions/{session_id}")
async def test_user_sees_its_sessions_and_ends_one(house: House) -> None:
    user = await house.account()
    others_session = (await house.user())[1]
    firefox = {b"User-Agent": b"Firefox/145.0 (b\xc3\xa4r)\t" + b"x" * 300}
    credentials = {"username": user["username"], "password": PASSWORD}
    lost = (await house.http.post(f"{AUTH}/login", json=credentials, headers=firefox)).json()
    own = await house.session(user["username"])
    listed = (await house.http.get(f"{AUTH}/sessions", headers=bearer(own))).json()
    assert listed["next_cursor"] is None
    newest, oldest = listed["sessions"]
    assert newest.keys() == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "ip", "current"}
    assert (newest["current"], newest["ip"], newest["user_agent"][:5]) == (True, "127.0.0.1", "pytho")
    assert oldest["current"] is False
    assert oldest["user_agent"].startswith("Firefox/145.0 (b")
    assert len(oldest["user_agent"]) == 200
    assert oldest["created_at"] == oldest["last_used_at"] < oldest["expires_at"]

    path = f"{AUTH}/sessions/{oldest['id']}"
    for headers, wrong in ((others_session, path), (bearer(own), f"{AUTH}/sessions/x")):
        refused = await house.http.delete(wrong, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "auth.session.not_found")
    for _ in range(2):
        assert (await house.http.delete(path, headers=bearer(own))).status_code == 204
    answer = await house.http.post(f"{AUTH}/refresh", json={"refresh_token": lost["refresh_token"]})
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.refresh.invalid")

    async def token_is_refused() -> bool:
        return (await house.http.get(f"{AUTH}/me", headers=bearer(lost))).status_code == 401

    await until(token_is_refused)
    left = (await house.http.get(f"{AUTH}/sessions", headers=bearer(own))).json()["sessions"]
    assert [session["id"] for session in left] == [newest["id"]]
