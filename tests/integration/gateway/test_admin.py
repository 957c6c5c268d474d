"""Users and tiers for admins, with the real auth service."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.integration.gateway.real_auth import PASSWORD, House
from tests.kit.waiting import until

ADMIN = "/api/v1/admin"


async def test_users_can_be_paged_and_searched(house: House) -> None:
    made = [(await house.account())["id"] for _ in range(3)]
    first = (await house.http.get(f"{ADMIN}/users", params={"limit": 2}, headers=house.admin)).json()
    assert [user["id"] for user in first["users"]] == made[:0:-1]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await house.http.get(f"{ADMIN}/users", params=query, headers=house.admin)).json()
    assert second["users"][0]["id"] == made[0]
    name = first["users"][0]["username"]
    found = (await house.http.get(f"{ADMIN}/users", params={"search": name[:8].upper()}, headers=house.admin)).json()
    assert [user["username"] for user in found["users"]] == [name]
    assert found["next_cursor"] is None


@pytest.mark.parametrize("change", [{"tier": "pro"}, {"search": "a"}, {"cursor": "AAAA"}])
async def test_cursor_is_valid_only_for_its_own_filter(house: House, change: dict[str, str]) -> None:
    await house.account()
    first = (await house.http.get(f"{ADMIN}/users", params={"limit": 1}, headers=house.admin)).json()
    query = {"limit": "1", "cursor": first["next_cursor"]} | change
    answer = await house.http.get(f"{ADMIN}/users", params=query, headers=house.admin)
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor.invalid")


async def test_user_limits_and_tier_can_be_changed_and_reset(house: House) -> None:
    user, session = await house.user()
    path = f"{ADMIN}/users/{user['id']}"
    body = {"tier": "basic", "limits": {"images_per_day": None, "queue_cap": 7}}
    changed = (await house.http.patch(path, headers=house.admin, json=body)).json()
    assert (changed["tier"], changed["limits"]["queue_cap"], changed["limits"]["images_per_day"]) == ("basic", 7, None)
    assert set(changed["own_limits"]) == {"images_per_day", "queue_cap"}
    assert (await house.http.get(path, headers=house.admin)).json() == changed

    async def heard() -> bool:
        me = (await house.http.get("/api/v1/auth/me", headers=session)).json()
        return (me.get("tier"), me.get("limits", {}).get("queue_cap")) == ("basic", 7)

    await until(heard)
    back = (await house.http.patch(path, headers=house.admin, json={"limits": {}})).json()
    assert (back["own_limits"], back["limits"]["images_per_day"]) == ([], 100)


@pytest.mark.requirement("S-5")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tier": None},
        {"tier": "platinum"},
        {"is_active": "false"},
        {"is_active": 0},
        {"limits": {"queue_cap": -1}},
        {"limits": {"queue_cap": True}},
        {"limits": {"queue_cap": "7"}},
        {"limits": {"weight": 0}},
        {"limits": {"weight": None}},
        {"limits": {"unknown": 1}},
        {"limits": {"graph_policy": "loose"}},
        {"limits": {"graph_policy": None}},
        {"limits": {"graph_nodes": 0}},
        {"limits": {"graph_nodes": 2001}},
        {"limits": {"graph_text_bytes": 2**53 + 1}},
        {"limits": {"graph_pixels": 1.5}},
        {"limits": {"graph_steps": 10_001}},
        {"limits": {"graph_pixel_steps": "1"}},
        {"limits": {"run_seconds": 0.5}},
        {"limits": {"start_seconds": 0.5}},
        {"limits": {"start_seconds": 2_592_001}},
        {"limits": {"run_seconds": 604_801}},
        {"limits": {"gpu_seconds_per_day": -1}},
        {"limits": {"result_bytes": 0}},
        {"shares_quota": True},
        {"shares_quota": None},
        {"password": "x"},
    ],
)
async def test_user_change_with_unknown_or_mistyped_fields_is_refused(house: House, body: dict[str, Any]) -> None:
    user = await house.account()
    answer = await house.http.patch(f"{ADMIN}/users/{user['id']}", headers=house.admin, json=body)
    assert answer.status_code == 422
    assert (await house.http.get(f"{ADMIN}/users/{user['id']}", headers=house.admin)).json()["tier"] == "free"


async def test_graph_limits_come_from_the_user_or_the_tier(house: House) -> None:
    user, session = await house.user()
    path, own = f"{ADMIN}/users/{user['id']}", {"graph_policy": "open", "run_seconds": 60, "graph_pixels": None}
    changed = (await house.http.patch(path, headers=house.admin, json={"limits": own})).json()
    assert changed["own_limits"] == ["graph_policy", "graph_pixels", "run_seconds"]
    assert changed["limits"].items() >= own.items()
    assert changed["limits"]["graph_steps"] == 200
    assert (changed["shares_quota"], changed["tier"]) == (False, "free")

    async def heard() -> bool:
        me = (await house.http.get("/api/v1/auth/me", headers=session)).json()
        return bool(me.get("limits", {}).items() >= own.items())

    await until(heard)
    alone = await house.http.patch(path, headers=house.admin, json={"shares_quota": False})
    assert alone.json()["shares_quota"] is False


async def test_deactivated_user_is_listed_and_can_be_reactivated(house: House) -> None:
    user, session = await house.user()
    path = f"{ADMIN}/users/{user['id']}"
    assert (await house.http.patch(path, headers=house.admin, json={"is_active": False})).status_code == 200

    async def refused() -> bool:
        return (await house.http.get("/api/v1/auth/me", headers=session)).status_code == 401

    await until(refused)
    assert (await house.http.get(path, headers=house.admin)).json()["is_active"] is False
    assert (await house.http.patch(path, headers=house.admin, json={"is_active": True})).json()["is_active"] is True
    await house.session(user["username"])


async def test_unknown_and_malformed_ids_get_the_same_answer(house: House) -> None:
    for text in (str(uuid4()), "nobody", str(uuid4()).upper(), uuid4().hex):
        for answer in (
            await house.http.get(f"{ADMIN}/users/{text}", headers=house.admin),
            await house.http.patch(f"{ADMIN}/users/{text}", headers=house.admin, json={"tier": "pro"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "auth.user.not_found")


async def test_tier_change_applies_to_all_of_its_users(house: House) -> None:
    user, session = await house.user()
    tiers = (await house.http.get(f"{ADMIN}/tiers", headers=house.admin)).json()
    assert [tier["name"] for tier in tiers["tiers"]] == ["free", "basic", "pro", "enterprise"]
    path = f"{ADMIN}/tiers/free"
    changed = (await house.http.patch(path, headers=house.admin, json={"limits": {"images_per_day": 11}})).json()
    try:
        assert (changed["name"], changed["limits"]["images_per_day"], changed["limits"]["queue_cap"]) == (
            "free",
            11,
            10,
        )

        async def heard() -> bool:
            me = (await house.http.get("/api/v1/auth/me", headers=session)).json()
            return bool(me.get("limits", {}).get("images_per_day") == 11)

        await until(heard)
    finally:
        await house.http.patch(path, headers=house.admin, json={"limits": {"images_per_day": 10}})
    assert user["tier"] == "free"


@pytest.mark.requirement("S-5")
@pytest.mark.parametrize("body", [{}, {"limits": {}}, {"limits": None}, {"limits": {"x": 1}}, {"images_per_day": 1}])
async def test_tier_change_with_unknown_or_mistyped_fields_is_refused(house: House, body: dict[str, Any]) -> None:
    answer = await house.http.patch(f"{ADMIN}/tiers/free", headers=house.admin, json=body)
    assert answer.status_code == 422
    unknown = await house.http.patch(f"{ADMIN}/tiers/gold", headers=house.admin, json={"limits": {"queue_cap": 1}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "auth.tier.not_found")


@pytest.mark.requirement("S-4", "B-95")
async def test_admin_routes_refuse_everybody_but_admins(house: House) -> None:
    user, session = await house.user()
    requests = [
        ("GET", "/users", None),
        ("GET", f"/users/{user['id']}", None),
        ("PATCH", f"/users/{user['id']}", {"role": "admin"}),
        ("GET", "/tiers", None),
        ("PATCH", "/tiers/free", {"limits": {"images_per_day": 99}}),
        ("GET", "/class-rules", None),
        ("PUT", "/class-rules/classes/OpenAIChatNode", {"verdict": "allow"}),
        ("PUT", "/class-rules/packs/custom_nodes.mine", {"verdict": "allow"}),
        ("DELETE", "/class-rules/classes/OpenAIChatNode", None),
        ("DELETE", "/class-rules/packs/custom_nodes.mine", None),
        ("GET", "/invites", None),
        ("POST", "/invites", {"tier": "enterprise"}),
        ("DELETE", f"/invites/{uuid4()}", None),
    ]
    for method, path, body in requests:
        answer = await house.http.request(method, ADMIN + path, headers=session, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope.missing")
        assert (await house.http.request(method, ADMIN + path, json=body)).status_code == 401


def encoded(name: str) -> str:
    return quote(name, safe="")


@pytest.mark.parametrize("kind", ["classes", "packs"])
@pytest.mark.parametrize(
    "name", ["RegexMatch", "custom_nodes.my_pack", "Wildcard //Inspire", "Image Resize (rgthree)", "Ünï|cøde % 漢字"]
)
async def test_class_rule_can_be_set_and_reset_for_any_name(house: House, kind: str, name: str) -> None:
    path = f"{ADMIN}/class-rules/{kind}/{encoded(name)}"
    for verdict, field in (("allow", f"allowed_{kind}"), ("allow", f"allowed_{kind}"), ("deny", f"denied_{kind}")):
        answer = await house.http.put(path, headers=house.admin, json={"verdict": verdict})
        assert (answer.status_code, answer.json()[field]) == (200, [name]), answer.text
    read = (await house.http.get(f"{ADMIN}/class-rules", headers=house.admin)).json()
    assert read == answer.json()
    for _ in range(2):
        answer = await house.http.delete(path, headers=house.admin)
        assert (answer.status_code, answer.json()[f"denied_{kind}"]) == (200, [])


@pytest.mark.parametrize("name", ["x" * 201, "a\x00b", "a\tb", "a\x1b[2J", ""])
async def test_invalid_class_name_is_refused(house: House, name: str) -> None:
    path = f"{ADMIN}/class-rules/classes/{encoded(name)}"
    for answer in (
        await house.http.put(path, headers=house.admin, json={"verdict": "allow"}),
        await house.http.delete(path, headers=house.admin),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
    assert (await house.http.get(f"{ADMIN}/class-rules", headers=house.admin)).json()["allowed_classes"] == []


@pytest.mark.parametrize("body", [{}, {"verdict": "default"}, {"verdict": None}, {"verdict": "allow", "x": 1}, []])
async def test_malformed_class_rule_is_refused(house: House, body: Any) -> None:
    answer = await house.http.put(f"{ADMIN}/class-rules/classes/RegexMatch", headers=house.admin, json=body)
    assert answer.status_code == 422


async def test_only_class_rule_paths_allow_escapes(house: House) -> None:
    for path in (f"{ADMIN}/users/%61", f"{ADMIN}/class-rules%2Fclasses", f"{ADMIN}/class-rules/others/%61"):
        answer = await house.http.get(path, headers=house.admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "http.not_found")


async def test_invite_is_shown_once_listed_used_and_revoked(house: House) -> None:
    made = await house.http.post(f"{ADMIN}/invites", headers=house.admin, json={"tier": "pro", "expires_in_days": 2})
    token, place = made.json()["invite"], made.headers["location"]
    assert (made.status_code, made.json()["tier"], token[:4]) == (201, "pro", "cfi_")
    other = (await house.http.post(f"{ADMIN}/invites", headers=house.admin, json={})).json()
    user = await house.account(invite=token)
    assert user["tier"] == "pro"
    page = (await house.http.get(f"{ADMIN}/invites", params={"limit": 1}, headers=house.admin)).json()
    assert [one["id"] for one in page["invites"]] == [other["id"]]
    query = {"limit": 1, "cursor": page["next_cursor"]}
    older = (await house.http.get(f"{ADMIN}/invites", params=query, headers=house.admin)).json()["invites"]
    assert [(one["id"], one["used_by"]) for one in older] == [(made.json()["id"], user["id"])]
    assert token not in str((page, older))
    used = await house.http.delete(place, headers=house.admin)
    assert (used.status_code, used.json()["code"]) == (409, "auth.invite.used")
    for _ in range(2):
        assert (await house.http.delete(f"{ADMIN}/invites/{other['id']}", headers=house.admin)).status_code == 204
    name = f"u{uuid4().hex[:10]}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "invite": other["invite"]}
    refused = await house.http.post("/api/v1/auth/register", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.invite.invalid")


async def test_unknown_invite_is_not_found(house: House) -> None:
    for text in (str(uuid4()), "nothing", str(uuid4()).upper()):
        answer = await house.http.delete(f"{ADMIN}/invites/{text}", headers=house.admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "auth.invite.not_found")


@pytest.mark.parametrize(
    "body", [{"tier": "gold"}, {"tier": None}, {"expires_in_days": 0}, {"expires_in_days": 91}, {"x": 1}, []]
)
async def test_malformed_invite_is_refused(house: House, body: Any) -> None:
    assert (await house.http.post(f"{ADMIN}/invites", headers=house.admin, json=body)).status_code == 422


@pytest.mark.requirement("operator.dry-run")
async def test_dry_run_of_a_change_says_what_would_change_and_changes_nothing(house: House) -> None:
    user, _ = await house.user()
    other = await house.account()
    path, dry = f"{ADMIN}/users/{user['id']}", {"dry_run": "true"}
    before = (await house.http.get(path, headers=house.admin)).json()
    body = {"is_active": False, "limits": {"result_days": 1, "graph_policy": "open"}}
    said = (await house.http.patch(path, headers=house.admin, params=dry, json=body)).json()
    assert said["dry_run"] is True
    assert {effect["code"]: effect["count"] for effect in said["effects"]} == {
        "results_deleted": None,
        "graph_policy_opened": None,
        "access_ended": 1,
    }
    assert {change["field"]: (change["before"], change["after"]) for change in said["changes"]} == {
        "is_active": (True, False),
        "limits.result_days": (before["limits"]["result_days"], 1),
        "limits.graph_policy": ("strict", "open"),
    }
    assert (await house.http.get(path, headers=house.admin)).json() == before
    nothing = (await house.http.patch(path, headers=house.admin, params=dry, json={"is_active": True})).json()
    assert ([effect["code"] for effect in nothing["effects"]], nothing["changes"]) == (["no_effect"], [])

    await house.http.patch(f"{ADMIN}/users/{other['id']}", headers=house.admin, json={"limits": {"queue_cap": 3}})
    tier, limits = f"{ADMIN}/tiers/free", {"limits": {"queue_cap": 77}}
    said = (await house.http.patch(tier, headers=house.admin, params=dry, json=limits)).json()
    counts = {effect["code"]: effect["count"] for effect in said["effects"]}
    assert counts.keys() == {"users_affected", "users_unaffected"}
    assert min(counts.values()) >= 1
    (change,) = said["changes"]
    assert (change["field"], change["after"]) == ("queue_cap", 77)
    tiers = (await house.http.get(f"{ADMIN}/tiers", headers=house.admin)).json()["tiers"]
    assert next(one for one in tiers if one["name"] == "free")["limits"]["queue_cap"] == change["before"]
    last = await house.http.get("/api/v1/auth/me", headers=house.admin)
    refused = await house.http.patch(
        f"{ADMIN}/users/{last.json()['id']}", headers=house.admin, params=dry, json={"role": "user"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "auth.user.last_admin")
