"""Every page opens, obeys the content security policy, and passes axe's accessibility checks."""

from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from gateway.console.routes import PAGE_PATHS
from tests.console.conftest import HEIGHT, PHONE, TWO_FRAMES, WIDTH, NewVisitor, Visitor
from tests.kit.waiting import until

COLOURS = "[...document.querySelectorAll('main *')].map(element => getComputedStyle(element).color)"
LOADED_BY = {"/jobs/2": "/api/v1/jobs/2", "/users/1": "/api/v1/admin/users/1", "/fleet/node-1": "/api/v1/admin/nodes"}
CONTRAST = "color-contrast"  # the slowest rule by far, and the only one that depends on the theme


@pytest.mark.requirement("C-3")
async def test_page_is_accessible_in_light_dark_and_on_a_phone(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("operator", role="admin")
    async with visitor.fleet.client() as demo:
        job = await visitor.fleet.submit(demo, prompt="a lighthouse at dusk", steps=2)
        await visitor.fleet.wait_until_ended(demo, job["job_id"])
    known = {"{user_id}": visitor.user_id, "{node}": "node-1", "{job_id}": job["job_id"], "{section}": "usage"}
    faults: dict[str, list[str]] = {}
    for path in own_pages(known):
        await visitor.open(path)
        found = await find_faults_in_each_look(visitor)
        faults |= {f"{path} {look}": rules for look, rules in found.items() if rules}
    assert faults == {}


@pytest.mark.requirement("C-3")
async def test_colours_change_with_the_theme_at_once_if_motion_is_reduced(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("calm")
    await visitor.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    await visitor.open("/account/usage")
    light = await visitor.page.evaluate(COLOURS)
    dark = await visitor.page.evaluate(f"document.documentElement.dataset.theme = 'dark'; {COLOURS}")
    assert len(light) == len(dark) > 10
    assert not set(light) & set(dark)
    await visitor.page.evaluate(TWO_FRAMES)
    assert await visitor.page.evaluate(COLOURS) == dark


@pytest.mark.requirement("C-3")
async def test_page_has_a_heading_while_it_loads(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("slow-operator", role="admin")
    stalled: set[str] = set()
    await visitor.page.route("**/api/v1/**", lambda route: stalled.add(urlsplit(route.request.url).path))
    paths = own_pages({"{user_id}": "1", "{node}": "node-1", "{job_id}": "2", "{section}": "usage"})
    assert LOADED_BY.keys() <= set(paths)
    for path in paths:
        await visitor.go_to(path)
        await expect(visitor.page.locator("main h1"), path).to_be_visible()
        if path in LOADED_BY:
            await until(partial(stalled.__contains__, LOADED_BY[path]))


def own_pages(known: dict[str, str]) -> list[str]:
    """Return the paths of the pages of a signed-in user, with values for their parameters."""
    paths = [pattern for pattern in PAGE_PATHS if pattern not in {"/sign-in", "/shared/{token}", "/workflows/{name}"}]
    for name, value in known.items():
        paths = [path.replace(name, value) for path in paths]
    return paths


async def find_faults_in_each_look(visitor: Visitor) -> dict[str, list[str]]:
    """Run axe on the page in light colours, in dark colours, and at the width of a phone."""
    page = visitor.page
    light = await visitor.find_accessibility_faults()
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.evaluate(TWO_FRAMES)
    dark = await visitor.find_accessibility_faults(only=CONTRAST)
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    await page.set_viewport_size({"width": PHONE, "height": HEIGHT})
    await expect(page.get_by_role("button", name="Open menu")).to_be_visible()
    phone = await visitor.find_accessibility_faults(without=CONTRAST)
    await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    return {"light": light, "dark": dark, "phone": phone}


@pytest.mark.requirement("C-3")
async def test_sign_in_page_is_accessible(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("ivan", signed_in=False)
    await visitor.page.goto(visitor.fleet.base_url)
    await expect(visitor.page.get_by_label("Password")).to_be_visible()
    assert await visitor.find_accessibility_faults() == []
