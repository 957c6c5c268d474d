"""Accounts and sessions over HTTP, with the real auth service."""

import asyncio
from typing import Any

import jwt
import pytest
from jwt import PyJWK

from tests.integration.gateway.real_auth import PASSWORD, House, bearer
from tests.kit.waiting import until

AUTH = "/api/v1/auth"
USER_FIELDS = {"id", "username", "email", "tier", "role", "is_active", "created_at"}


@pytest.mark.requirement("body.user")
async def test_user_response_contains_only_documented_fields(house: House) -> None:
    user = await house.account()
    assert user.keys() == USER_FIELDS
    assert (user["tier"], user["role"], user["is_active"]) == ("free", "user", True)


async def test_registering_a_taken_name_is_a_conflict(house: House) -> None:
    user = await house.account()
    body = {"username": user["username"].upper(), "email": "other@example.com", "password": PASSWORD}
    answer = await house.http.post(f"{AUTH}/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "auth.account.taken")


@pytest.mark.requirement("S-5")
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"username": 5}, "/username"),
        ({"password": "p" * 1025}, "/password"),
        ({"password": ["p-in-a-list"]}, "/password"),
        ({"role": "admin"}, "/role"),
        ({"tier": "enterprise"}, "/tier"),
        ({"is_admin": True}, "/is_admin"),
    ],
)
async def test_registration_refuses_unknown_fields(house: House, body: dict[str, Any], pointer: str) -> None:
    usual = {"username": "mallory", "email": "mallory@example.com", "password": PASSWORD}
    answer = await house.http.post(f"{AUTH}/register", json=usual | body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.requirement("S-26")
async def test_registration_error_does_not_echo_the_password(house: House) -> None:
    for body in ({"username": 1, "password": "canary-in-a-body"}, {"username": "x", "password": ["canary-in-a-body"]}):
        answer = await house.http.post(f"{AUTH}/login", json=body)
        assert answer.status_code == 422
        assert "canary" not in answer.text


@pytest.mark.requirement("POST /api/v1/auth/login", "body.login")
async def test_login_accepts_json_and_an_oauth2_form(house: House) -> None:
    user = await house.account()
    credentials = {"username": user["username"], "password": PASSWORD}
    answers = [
        await house.http.post(f"{AUTH}/login", json=credentials),
        await house.http.post(f"{AUTH}/login", data=credentials),
        await house.http.post(f"{AUTH}/login", data=credentials | {"grant_type": "password", "scope": ""}),
        await house.http.post(f"{AUTH}/login", json=credentials | {"username": user["email"]}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        session = answer.json()
        assert session.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (session["token_type"], session["expires_in"]) == ("bearer", 900)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.requirement("S-5")
@pytest.mark.parametrize("more", [{"grant_type": "client_credentials"}, {"admin": "1"}])
async def test_login_form_refuses_other_grants_and_fields(house: House, more: dict[str, str]) -> None:
    answer = await house.http.post(f"{AUTH}/login", data={"username": "a", "password": "b"} | more)
    assert answer.status_code == 422


@pytest.mark.requirement("S-34")
async def test_wrong_password_and_unknown_username_get_the_same_response(house: House) -> None:
    user = await house.account()
    answers = [
        await house.http.post(f"{AUTH}/login", json={"username": name, "password": "seventeen wrong lanterns"})
        for name in (user["username"], "nobody-of-this-name")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    bodies = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers]
    assert bodies[0] == bodies[1]
    assert bodies[0]["code"] == "auth.login.failed"


@pytest.mark.requirement("S-47")
async def test_refresh_token_works_once(house: House) -> None:
    user = await house.account()
    session = await house.session(user["username"])
    first = await house.http.post(f"{AUTH}/refresh", json={"refresh_token": session["refresh_token"]})
    assert first.status_code == 200
    second = await house.http.post(f"{AUTH}/refresh", json={"refresh_token": first.json()["refresh_token"]})
    assert second.status_code == 200
    reused = await house.http.post(f"{AUTH}/refresh", json={"refresh_token": session["refresh_token"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "auth.refresh.invalid")


@pytest.mark.requirement("S-35", "POST /api/v1/auth/password")
async def test_password_change_needs_the_current_password_and_ends_other_sessions(house: House) -> None:
    user, own = await house.user()
    other = bearer(await house.session(user["username"]))
    change = {"current_password": "not the one that it is", "new_password": "eighteen green lanterns ashore"}
    wrong = await house.http.post(f"{AUTH}/password", headers=own, json=change)
    assert wrong.status_code in {401, 403}
    answer = await house.http.post(f"{AUTH}/password", headers=own, json=change | {"current_password": PASSWORD})
    assert (answer.status_code, answer.content) == (204, b"")

    async def ended() -> bool:
        return (await house.http.get(f"{AUTH}/me", headers=other)).status_code == 401

    await until(ended)
    old = await house.http.post(f"{AUTH}/login", json={"username": user["username"], "password": PASSWORD})
    assert old.status_code == 401


@pytest.mark.requirement("S-24")
async def test_api_key_can_neither_change_the_password_nor_log_out(house: House) -> None:
    _, session = await house.user()
    wanted = {"name": "all", "scopes": ["jobs:read", "jobs:write", "keys"]}
    key = (await house.http.post(f"{AUTH}/keys", headers=session, json=wanted)).json()["key"]
    change = {"current_password": PASSWORD, "new_password": "eighteen green lanterns ashore"}
    for path, body in (("password", change), ("logout", None)):
        answer = await house.http.post(f"{AUTH}/{path}", headers={"X-API-Key": key}, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.session.needed")
    assert (await house.http.get(f"{AUTH}/me", headers=session)).status_code == 200


@pytest.mark.requirement("S-45", "GET /.well-known/jwks.json", "table auth.signing_keys")
async def test_published_keys_verify_an_access_token(house: House) -> None:
    user, session = await house.user()
    answer = await house.http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    token = session["Authorization"].removeprefix("Bearer ")
    kid = jwt.get_unverified_header(token)["kid"]
    (jwk,) = [key for key in answer.json()["keys"] if key["kid"] == kid]
    assert "d" not in jwk
    claims = jwt.decode(token, PyJWK(jwk), algorithms=["EdDSA"], audience="comfyfleet", issuer="comfyfleet")
    assert claims["sub"] == user["id"]


async def test_concurrent_logins_create_separate_sessions(house: House) -> None:
    user = await house.account()
    sessions = await asyncio.gather(*(house.session(user["username"]) for _ in range(4)))
    assert len({session["refresh_token"] for session in sessions}) == 4
