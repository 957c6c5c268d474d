"""Lists of the console stay complete and usable while time passes and other things happen."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, Route, expect

from tests.console.conftest import NewVisitor
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
