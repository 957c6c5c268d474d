"""Actions of operators in the console take effect in the fleet."""

import re

import pytest
from playwright.async_api import expect

from tests.console.conftest import NewVisitor


@pytest.mark.requirement("C-4")
async def test_drain_dialog_explains_its_effect_and_drains_the_node(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("operator", role="admin")
    page = visitor.page
    await visitor.open("/fleet/node-2")
    await page.get_by_role("button", name="Drain…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("It gets no new jobs")
    await dialog.get_by_role("button", name="Drain").click()
    await expect(page.get_by_role("button", name="Uncordon")).to_be_visible()
    async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
        nodes = {node["node"]: node for node in (await admin.get("/admin/nodes")).json()["nodes"]}
        assert nodes["node-2"]["cordoned_at"] is not None
        await page.get_by_role("button", name="Uncordon").click()
        await expect(page.get_by_role("button", name="Cordon…")).to_be_visible()
        nodes = {node["node"]: node for node in (await admin.get("/admin/nodes")).json()["nodes"]}
        assert nodes["node-2"]["cordoned_at"] is None


@pytest.mark.requirement("C-4")
async def test_tier_change_is_previewed_and_then_applied(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("operator", role="admin")
    page = visitor.page
    async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
        before = (await admin.get("/admin/tiers")).json()["tiers"][1]
        assert before["name"] == "basic"
        await visitor.open("/tiers")
        await page.get_by_role("button", name="Change… basic").click()
        await page.get_by_label("Images per day").fill("123")
        await page.get_by_role("button", name="Review changes").click()
        await expect(page.get_by_role("dialog")).to_contain_text("123")
        await expect(page.get_by_role("dialog")).to_contain_text("new limits within a second")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text("Tier saved.")
        after = (await admin.get("/admin/tiers")).json()["tiers"][1]
        await admin.patch("/admin/tiers/basic", json={"limits": {"images_per_day": before["limits"]["images_per_day"]}})
    assert after["limits"] == before["limits"] | {"images_per_day": 123}


@pytest.mark.requirement("C-4")
async def test_user_without_the_role_sees_no_operator_page(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("judy")
    await visitor.page.goto(visitor.fleet.base_url + "/fleet")
    await expect(visitor.page.get_by_text("This page is for administrators")).to_be_visible()
    await expect(visitor.page.get_by_role("link", name="Audit log")).to_have_count(0)


@pytest.mark.requirement("C-4")
async def test_operator_sees_attempts_of_another_users_job_but_not_its_content(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("operator", role="admin")
    async with visitor.fleet.client() as demo:
        job = await visitor.fleet.submit(demo, prompt="a private sentence", steps=2)
        await visitor.fleet.wait_until_ended(demo, job["job_id"])
    await visitor.open(f"/jobs/{job['job_id']}")
    attempts = visitor.page.get_by_role("table")
    await expect(attempts).to_contain_text("node-")
    await expect(attempts).to_contain_text("succeeded")
    await expect(visitor.page.get_by_role("main")).not_to_contain_text("a private sentence")
    await expect(visitor.page.locator("main img")).to_have_count(0)


@pytest.mark.requirement("C-4")
async def test_audit_log_until_a_day_includes_that_day_and_shows_the_action_it_is_filtered_by(
    new_visitor: NewVisitor,
) -> None:
    visitor = await new_visitor("auditor", role="admin")
    page = visitor.page
    await visitor.open("/audit")
    until, action = page.get_by_label("Until"), page.get_by_label("Action", exact=True)
    async with page.expect_response(re.compile(r"/admin/audit\?.*before=")):
        await until.fill(await page.evaluate("new Date().toLocaleDateString('en-CA')"))
    entry = page.get_by_role("table").get_by_role("button").first
    name = await entry.inner_text()
    await entry.click()
    await expect(action).to_have_value(name)
    await page.get_by_role("button", name="Clear filters").click()
    await expect(action).to_have_value("")


@pytest.mark.requirement("C-4")
async def test_trends_show_no_wait_for_times_without_jobs(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("analyst", role="admin")
    page = visitor.page
    await visitor.open("/trends")
    waits = page.get_by_role("figure", name="Time in the queue")
    await waits.get_by_role("button", name="Show as table").click()
    oldest = waits.get_by_role("row").last  # a day ago
    await expect(oldest.get_by_role("cell")).to_have_text(["\u2013", "\u2013"])
