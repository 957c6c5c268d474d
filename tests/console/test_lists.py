"""Lists of the console stay complete and usable while time passes and other things happen."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.console.conftest import PASSWORD, TWO_FRAMES, NewVisitor
from tests.kit.retrying_fleet import UNAVAILABLE
from tests.kit.waiting import repeat_until

LISTED_OUTPUTS = re.compile(r"/api/v1/outputs\?(?!.*job_id=)")


async def make_picture(page: Page, prompt: str) -> None:
    await page.get_by_label("What should the picture show?").fill(prompt)
    await page.get_by_role("button", name="Make picture").click()
    await expect(page.get_by_role("article", name=prompt)).to_contain_text("Completed")


async def expire_links(route: Route) -> None:
    """Return a page of outputs as the browser knows it half an hour later."""
    response = await repeat_until(lambda response: response.status != UNAVAILABLE, route.fetch)
    page = await response.json()
    for output in page["outputs"]:
        output["url"] = output["url"].split("?")[0] + "?token=expired"
        output["url_expires_at"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    await route.fulfill(response=response, json=page)


@pytest.mark.requirement("C-5")
async def test_gallery_renews_an_expired_link_when_an_output_is_opened_or_saved(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("collector")
    page = visitor.page
    await make_picture(page, "A market in the morning")
    await page.route(LISTED_OUTPUTS, expire_links)
    await visitor.open("/gallery")
    await page.get_by_role("listitem").get_by_role("button").first.click()
    dialog = page.get_by_role("dialog")
    picture = dialog.locator(".viewer-stage img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=1))
    async with page.expect_request(re.compile("/api/v1/outputs.*job_id=")), page.expect_download() as download:
        await dialog.get_by_role("button", name="Download").click()
    assert (await (await download.value).path()).stat().st_size > 0


def build_text_output(number: int) -> dict[str, Any]:
    """Build an output as the gallery lists it. Higher numbers are older."""
    at = (datetime(2026, 1, 1, tzinfo=UTC) - timedelta(minutes=number)).isoformat()
    return {
        "id": f"output-{number}", "job_id": f"job-{number}", "index": 0, "workflow": "custom", "labels": {},
        "node_id": "9", "name": f"note {number}.txt", "kind": "text", "content_type": "text/plain", "size_bytes": 4,
        "temporary": False, "value": "text", "created_at": at, "url": "/api/v1/outputs/x/content?token=x",
        "thumbnail_url": None, "url_expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }  # fmt: skip


@pytest.mark.requirement("C-5")
async def test_gallery_opens_the_chosen_output_although_a_newer_one_appears(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("opener")
    page = visitor.page
    chosen, newer = build_text_output(1), build_text_output(0)
    chosen["url_expires_at"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    listed, refresh, renewal = [chosen], asyncio.Event(), asyncio.Event()

    async def list_outputs(route: Route) -> None:
        if newer in listed:
            await refresh.wait()
        await route.fulfill(json={"outputs": listed, "next_cursor": None})

    async def renew_links(route: Route) -> None:
        await renewal.wait()
        await route.fulfill(json={"outputs": [build_text_output(1)], "next_cursor": None})

    await page.route(LISTED_OUTPUTS, list_outputs)
    await page.route(re.compile("/api/v1/outputs.*job_id="), renew_links)
    await page.clock.install()
    await visitor.open("/gallery")
    output = page.get_by_role("listitem").get_by_role("button")
    await expect(output).to_have_count(1)
    listed.insert(0, newer)
    async with page.expect_request(LISTED_OUTPUTS):
        await page.clock.run_for(15_000)
    async with page.expect_request(re.compile("job_id=")):
        await output.click()
    async with page.expect_response(LISTED_OUTPUTS) as refreshed:
        refresh.set()
    await (await refreshed.value).finished()
    await page.evaluate(TWO_FRAMES)
    renewal.set()
    await expect(page.get_by_role("dialog", name="note 1.txt")).to_be_visible()


@pytest.mark.requirement("C-5")
async def test_gallery_keeps_a_page_loaded_during_a_deletion(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("cleaner")
    page = visitor.page
    second_page, deletion = asyncio.Event(), asyncio.Event()

    async def list_outputs(route: Route) -> None:
        if "cursor=" not in route.request.url:
            await route.fulfill(json={"outputs": [build_text_output(n) for n in range(40)], "next_cursor": "second"})
            return
        await second_page.wait()
        await route.fulfill(json={"outputs": [build_text_output(n) for n in range(40, 45)], "next_cursor": None})

    async def delete_jobs(route: Route) -> None:
        await deletion.wait()
        await route.fulfill(json={"jobs": [{"job_id": "job-0", "status": 200, "job": None, "problem": None}]})

    await page.route(LISTED_OUTPUTS, list_outputs)
    await page.route("**/api/v1/jobs/bulk", delete_jobs)
    await visitor.open("/gallery")
    await page.get_by_role("listitem").get_by_role("button").first.click(modifiers=["Control"])
    await page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    async with page.expect_request("**/api/v1/jobs/bulk"):
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    second_page.set()
    await expect(page.get_by_text("These are all 45 outputs.")).to_have_count(1)
    deletion.set()
    await expect(page.get_by_text("These are all 44 outputs.")).to_be_visible()


@pytest.mark.requirement("C-5")
async def test_filter_offers_every_saved_workflow(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("librarian")
    graph = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}}
    graph["2"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "shelf"}}
    names = [f"shelf-{number}" for number in range(21)]
    login = {"username": visitor.username, "password": PASSWORD}
    async with visitor.fleet.client("") as client:
        token = (await client.post("/auth/login", json=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for name in names:
            answer = await client.put(f"/workflows/{name}", json={"workflow": graph})
            assert answer.status_code == 201, answer.text
    await visitor.open("/jobs")
    choice = visitor.page.get_by_role("combobox", name="Workflow")
    for name in names:
        await expect(choice.get_by_text(name, exact=True)).to_have_count(1)
