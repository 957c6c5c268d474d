"""Every page: it opens, breaks no rule of the content security policy, and axe finds nothing."""

from typing import Any

import pytest
from playwright.async_api import expect

from gateway.console.routes import PAGES
from tests.console.conftest import HEIGHT, PHONE, NewVisitor

LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": PHONE, "height": HEIGHT}},
}


@pytest.mark.requirement("C-3")
@pytest.mark.parametrize("look", LOOKS)
async def test_page_is_accessible(look: str, new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("operator", role="admin", **LOOKS[look])
    async with visitor.fleet.client() as demo:
        job = await visitor.fleet.submit(demo, prompt="a lighthouse at dusk", steps=2)
        await visitor.fleet.ended(demo, job["job_id"])
    known = {"{user_id}": visitor.user_id, "{node}": "node-1", "{job_id}": job["job_id"], "{section}": "usage"}
    faults = {}
    for pattern in PAGES:
        if pattern in {"/sign-in", "/shared/{token}", "/workflows/{name}"}:
            continue
        path = pattern
        for name, value in known.items():
            path = path.replace(name, value)
        await visitor.open(path)
        # contrast is the slowest rule by far, and the width of the screen does not change it
        if found := await visitor.find_accessibility_faults(rules={"color-contrast": look != "phone"}):
            faults[path] = found
    assert faults == {}


@pytest.mark.requirement("C-3")
async def test_sign_in_page_is_accessible(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("ivan", signed_in=False)
    await visitor.page.goto(visitor.fleet.base_url)
    await expect(visitor.page.get_by_label("Password")).to_be_visible()
    assert await visitor.find_accessibility_faults() == []
