"""Takes the screenshots of the documentation, and checks that they are current.

``SCREENSHOTS=write ./dev test tests/console/test_screenshots.py`` retakes them after a change of the console.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.console.conftest import CONSOLE, HEIGHT, PHONE, ROOT, NewVisitor

IMAGES = ROOT / "docs/images"
DIGEST = IMAGES / "console.sha256"
WRITES = os.environ.get("SCREENSHOTS") == "write"
PROMPT = "A lighthouse at dusk, waves against the rocks, oil painting"


def source_digest() -> str:
    """Return a SHA-256 digest of the console's source files."""
    digest = hashlib.sha256()
    for path in sorted((CONSOLE / "src").rglob("*")):
        if path.suffix in {".ts", ".tsx", ".css", ".svg"} and path.name != "schema.d.ts":
            digest.update(f"{path.relative_to(CONSOLE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.mark.skipif(WRITES, reason="the pictures are taken anew")
@pytest.mark.requirement("C-7")
def test_screenshots_in_the_documentation_show_the_current_console() -> None:
    assert DIGEST.read_text().strip() == source_digest(), "outdated: run this file with SCREENSHOTS=write"


@pytest.mark.requirement("C-7")
async def test_screenshots_show_each_step_to_the_first_image(new_visitor: NewVisitor, tmp_path: Path) -> None:
    folder = IMAGES if WRITES else tmp_path
    folder.mkdir(exist_ok=True)
    visitor = await new_visitor("ada", role="admin", device_scale_factor=1)
    page = visitor.page
    await make_picture(page)
    await photograph(page, folder / "console-playground.png")
    await visitor.open("/fleet")
    await photograph(page, folder / "console-fleet.png")
    await visitor.open("/gallery")
    await page.locator("main img").first.evaluate("image => image.decode()")
    await photograph(page, folder / "console-gallery.png")

    looks: dict[str, dict[str, Any]] = {
        "dark": {"color_scheme": "dark"},
        "phone": {"viewport": {"width": PHONE, "height": HEIGHT}},
    }
    for name, options in looks.items():
        other = await new_visitor(f"ada-{name}", **options)
        await photograph(other.page, folder / f"console-first-{name}.png")
        await make_picture(other.page)
        await photograph(other.page, folder / f"console-playground-{name}.png")
    if WRITES:
        DIGEST.write_text(source_digest() + "\n")
    assert len(list(folder.glob("console-*.png"))) == 7


async def make_picture(page: Page) -> None:
    await page.get_by_label("What should the picture show?").fill(PROMPT)
    await page.get_by_role("button", name="Make picture").click()
    card = page.get_by_role("article", name=PROMPT).first
    await expect(card).to_contain_text("Completed")
    await expect(card.locator("img").first).to_be_visible()


async def photograph(page: Page, path: Path) -> None:
    await page.evaluate("document.activeElement?.blur()")
    picture = await page.screenshot(path=path, animations="disabled")
    assert len(picture) > 10_000
