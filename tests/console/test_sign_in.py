"""Signing in and out: a session survives a reload, and no script can read its refresh token."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.console.conftest import PASSWORD, NewVisitor

ROOT = Path(__file__).parents[2]


@pytest.mark.requirement("C-2")
async def test_session_survives_a_reload_and_ends_with_sign_out(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("grace")
    page = visitor.page
    assert await page.evaluate("document.cookie") == ""
    stored = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    tokens = [cookie["value"] for cookie in cookies.values()]
    assert tokens
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies.values())
    assert not any(token in stored for token in tokens)

    await page.reload()
    await expect(page.get_by_role("navigation", name="Main")).to_contain_text("grace")

    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.requirement("C-2")
async def test_used_login_link_and_wrong_password_tell_the_user_what_to_do(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("heidi", signed_in=False)
    await visitor.page.goto(f"{visitor.fleet.base_url}/#sign-in=cfl_{'x' * 40}")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("login link is unknown, expired or already used")
    await visitor.page.get_by_label("User name").fill("heidi")
    await visitor.page.get_by_label("Password").fill("not the password at all")
    await visitor.page.get_by_role("button", name="Sign in").click()
    await expect(visitor.page.get_by_role("alert")).to_contain_text("Wrong username or password")


@pytest.mark.requirement("C-6")
async def test_next_user_of_a_tab_sees_nothing_of_the_previous_user(new_visitor: NewVisitor) -> None:
    await new_visitor("oscar", signed_in=False)
    visitor = await new_visitor("peggy")
    page = visitor.page
    await page.get_by_label("What should the picture show?").fill("A secret of peggy")
    await visitor.go_to("/?graph")
    await page.get_by_label("Or paste the JSON").fill((ROOT / "tests/workflows/hello.json").read_text())
    await page.get_by_role("button", name="Make a form of it").click()
    await expect(page.get_by_label("Width")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()

    await page.get_by_label("User name").fill("oscar")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("navigation", name="Main")).to_contain_text("oscar")
    await expect(page.get_by_label("Or paste the JSON")).to_have_value("")
    await visitor.go_to("/")
    await expect(page.get_by_label("What should the picture show?")).to_have_value("")


@pytest.mark.requirement("C-6")
async def test_tab_submits_nothing_as_another_user_who_has_signed_in_in_another_tab(new_visitor: NewVisitor) -> None:
    other = await new_visitor("second-of-two", signed_in=False)
    visitor = await new_visitor("first-of-two")
    page = visitor.page
    second_tab = await page.context.new_page()
    await second_tab.goto(visitor.fleet.base_url)
    await second_tab.get_by_role("button", name="Sign out").click()
    await second_tab.get_by_label("User name").fill(other.username)
    await second_tab.get_by_label("Password").fill(PASSWORD)
    await second_tab.get_by_role("button", name="Sign in").click()
    await expect(second_tab.get_by_role("navigation", name="Main")).to_contain_text(other.username)

    await page.get_by_label("What should the picture show?").fill("A secret of the first user")
    await page.get_by_role("button", name="Make picture").click()
    await expect(page.get_by_role("navigation", name="Main")).to_contain_text(other.username)
    await expect(page.get_by_label("What should the picture show?")).to_have_value("")
    async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
        for user_id in (visitor.user_id, other.user_id):
            answer = await admin.get("/admin/jobs", params={"tenant": user_id})
            assert answer.json()["jobs"] == []


@pytest.mark.requirement("C-2")
async def test_sign_out_everywhere_says_that_this_session_has_ended_before(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("signed-out-elsewhere")
    page = visitor.page
    await visitor.open("/account/sessions")
    async with visitor.fleet.client("") as client:
        login = {"username": visitor.username, "password": PASSWORD}
        token = (await client.post("/auth/login", json=login)).json()["access_token"]
        answer = await client.post("/auth/logout?all=true", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 204, answer.text
    await page.get_by_role("button", name="Sign out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("status")).to_contain_text("This session has already ended")
