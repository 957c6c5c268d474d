"""What a page does while the server, or a part of it, does not answer."""

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.console.conftest import PASSWORD, NewVisitor, refuse_request
from tests.kit.paused_nodes import no_job_starts


async def leave_silent(_socket: WebSocketRoute) -> None:
    """Accept a websocket and never send anything, as a proxy does that does not forward websockets."""


async def disconnect(route: Route) -> None:
    await route.abort("internetdisconnected")


async def test_job_page_shows_the_end_of_a_job_without_a_websocket(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("unsocketed")
    page = visitor.page
    await page.route_web_socket("**/ws?*", leave_silent)
    await page.reload()  # sockets of a loaded page are not intercepted
    async with no_job_starts(visitor.fleet):
        await page.get_by_label("What should the picture show?").fill("A very quiet street")
        await page.get_by_role("button", name="Make picture").click()
        link = page.get_by_role("link", name="A very quiet street")
        job_path = await link.get_attribute("href")
        assert job_path is not None
        await visitor.open(job_path)
        status = page.locator("main header .badge")
        await expect(status).to_have_text("Waiting")
        async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
            answer = await admin.post(f"/admin{job_path}/cancel")
        assert answer.status_code == 200, answer.text
        await expect(status).to_have_text("Cancelled")


@pytest.mark.requirement("C-2")
async def test_reload_restores_the_session_when_the_server_answers_again(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("returning")
    page = visitor.page
    await page.route("**/api/v1/auth/refresh", refuse_request)
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("The service does not answer now.")
    await page.unroute("**/api/v1/auth/refresh")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("navigation", name="Main")).to_contain_text("returning")


@pytest.mark.requirement("C-2")
async def test_sign_in_and_sign_out_say_that_the_server_cannot_be_reached(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("offline")
    page = visitor.page
    await page.route("**/api/v1/auth/log*", disconnect)
    await visitor.open("/account/sessions")
    await page.get_by_role("button", name="Sign out everywhere").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Sign out everywhere").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    await dialog.get_by_role("button", name="Back").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("status")).to_contain_text("the server has not ended the session")
    await page.get_by_label("User name").fill("offline")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
