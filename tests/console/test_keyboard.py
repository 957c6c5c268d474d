"""Using the console without a pointer."""

from playwright.async_api import expect

from tests.console.conftest import NewVisitor


async def test_navigation_moves_the_focus_to_the_heading_of_the_page(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("reader")
    page = visitor.page
    await page.get_by_label("What should the picture show?").fill("An open book")
    await page.get_by_role("button", name="Make picture").click()
    await page.get_by_role("link", name="An open book").click()
    await expect(
        page.get_by_role("heading", level=1, name="Text to image")
    ).to_be_focused()  # the heading appears once the job is loaded
    await page.get_by_role("link", name="Jobs", exact=True).click()
    await expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_focused()
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page.get_by_role("heading", level=1, name="Account")).to_be_focused()
    await page.get_by_role("link", name="API keys").click()
    await expect(page.get_by_role("heading", level=1, name="Account")).to_be_focused()
    await page.get_by_role("link", name="Usage").click()
    await expect(page.get_by_role("link", name="Usage")).to_be_focused()  # only the section below it has changed


async def test_shortcuts_of_one_key_can_be_turned_off(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("speaker")
    page = visitor.page
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Use shortcuts without Ctrl").uncheck()
    await dialog.get_by_role("button", name="Close").click()
    await page.reload()
    await expect(page.locator("main h1")).to_have_text("Playground")
    await page.keyboard.press("?")
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await expect(dialog).to_have_count(1)
    await dialog.get_by_label("Use shortcuts without Ctrl").check()
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.locator("dialog")).to_have_count(0)  # the role ends before the page knows that it is closed
    await page.keyboard.press("?")
    await expect(dialog).to_be_visible()
