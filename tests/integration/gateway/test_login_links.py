"""Login links over HTTP, with the real auth service."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.gateway.real_auth import House, bearer

REDEEM = "/api/v1/auth/login-links/redeem"


async def redeem(house: House, token: str, **more: str) -> httpx.Response:
    headers = {"Sec-Fetch-Site": "same-origin"}
    return await house.http.post(REDEEM, json={"token": token} | more, headers=headers)


@pytest.fixture
async def admin(house: House) -> AsyncIterator[dict[str, str]]:
    """The Authorization header of an admin's session. Demoted afterwards, because other tests expect one admin."""
    user = await house.account()

    async def change_role(role: str) -> None:
        path = f"/api/v1/admin/users/{user['id']}"
        changed = await house.http.patch(path, json={"role": role}, headers=house.admin)
        assert changed.status_code == 200, changed.text

    await change_role("admin")
    try:
        yield bearer(await house.session(user["username"]))
    finally:
        await change_role("user")


@pytest.mark.requirement(
    "S-86",
    "POST /api/v1/admin/users/{user_id}/login-links",
    "POST /api/v1/auth/login-links/redeem",
    "table auth.login_links",
)
async def test_login_link_of_an_admin_logs_a_user_in_once(house: House, admin: dict[str, str]) -> None:
    user, session = await house.user()
    path = f"/api/v1/admin/users/{user['id']}/login-links"
    created = await house.http.post(path, headers=admin)
    assert created.status_code == 201, created.text
    link = created.json()
    assert link.keys() == {"token", "url", "expires_at"}
    assert link["url"] == f"http://127.0.0.1:8000/#sign-in={link['token']}"

    answers = await asyncio.gather(*(redeem(house, link["token"]) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    (session_body,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert session_body.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    me = (await house.http.get("/api/v1/auth/me", headers=bearer(session_body))).json()
    assert me["id"] == user["id"]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"auth.login_link.invalid"}
    for unknown in ("x", f"cfl_{secrets.token_urlsafe(32)}"):
        assert (await redeem(house, unknown)).json()["code"] == "auth.login_link.invalid"

    second = (await house.http.post(path, headers=admin)).json()
    foreign = await house.http.post(REDEEM, json={"token": second["token"], "session": "cookie"})
    assert foreign.json()["code"] == "auth.session.foreign_page"  # and the link stays valid
    in_cookie = await redeem(house, second["token"], session="cookie")
    assert "refresh_token" not in in_cookie.json()
    assert "HttpOnly" in in_cookie.headers["set-cookie"]

    for headers, code in ((session, "auth.scope.missing"), (house.admin, "auth.session.needed")):
        refused = await house.http.post(path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    nobody = await house.http.post(f"/api/v1/admin/users/{secrets.token_hex(16)}/login-links", headers=admin)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "auth.user.not_found")

    unused = (await house.http.post(path, headers=admin)).json()
    await house.http.patch(f"/api/v1/admin/users/{user['id']}", json={"is_active": False}, headers=admin)
    assert (await redeem(house, unused["token"])).json()["code"] == "auth.login_link.invalid"
    inactive = await house.http.post(path, headers=admin)
    assert (inactive.status_code, inactive.json()["code"]) == (409, "auth.user.inactive")

    query = {"subject": user["id"], "limit": 100}
    log = (await house.http.get("/api/v1/admin/audit", params=query, headers=house.admin)).json()["audit"]
    actions = [entry["action"] for entry in log]
    assert actions.count("login_link.created") == 3
    admin_id = (await house.http.get("/api/v1/auth/me", headers=admin)).json()["id"]
    by_link = [entry["detail"].get("login_link_created_by") for entry in log if entry["action"] == "session.opened"]
    assert sorted(filter(None, by_link)) == [admin_id] * 2
    assert all(link["token"] not in str(entry) for entry in log)
