"""Dialogs: they do not lose a text that is shown once, and show messages that belong to them."""

from playwright.async_api import Page, expect

from tests.console.conftest import NewVisitor, Visitor, refuse_request

WITHOUT_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
"""Browsers have no clipboard API on plain http, unless the server is on the same machine."""
BESIDE = (20, 20)
"""A point of the page that no dialog covers."""


async def open_form(visitor: Visitor) -> None:
    await visitor.open("/account/keys")
    await visitor.page.get_by_role("button", name="Create key").first.click()


async def create_key(visitor: Visitor) -> str:
    """Create a key in the dialog and return its text, which the dialog shows now."""
    await open_form(visitor)
    dialog = visitor.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("render box")
    await dialog.get_by_role("button", name="Create key").click()
    return await dialog.get_by_label("Key", exact=True).input_value()


async def drag_out_of(page: Page, label: str) -> None:
    """Select the text of a field with the pointer and release the button beside the dialog."""
    box = await page.get_by_role("dialog").get_by_label(label, exact=True).bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(*BESIDE, steps=4)
    await page.mouse.up()


async def test_selecting_text_beyond_a_dialog_leaves_it_open(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("dragger")
    page = visitor.page
    await open_form(visitor)
    await page.get_by_role("dialog").get_by_label("Name").fill("a name to select")
    await drag_out_of(page, "Name")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.mouse.click(*BESIDE)
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_click_beside_the_dialog_does_not_lose_a_new_key(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("clicker")
    page = visitor.page
    key = await create_key(visitor)
    await drag_out_of(page, "Key")
    await page.mouse.click(*BESIDE)
    await expect(page.get_by_role("dialog").get_by_label("Key", exact=True)).to_have_value(key)


async def test_new_key_can_be_copied_without_the_clipboard_api(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("copier")
    page = visitor.page
    await page.add_init_script(WITHOUT_CLIPBOARD)
    await page.reload()
    key = await create_key(visitor)
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Copy").click()
    await expect(dialog.get_by_role("status")).to_contain_text("Copied.")
    await dialog.get_by_role("button", name="I have stored it").click()
    await page.get_by_role("button", name="Create key").first.click()
    await page.get_by_role("dialog").get_by_label("Name").focus()
    await page.keyboard.press("Control+V")
    await expect(page.get_by_role("dialog").get_by_label("Name")).to_have_value(key)


async def test_refused_action_of_a_dialog_is_shown_in_the_dialog(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("sharer")
    page = visitor.page
    await page.get_by_label("What should the picture show?").fill("A bridge in fog")
    await page.get_by_role("button", name="Make picture").click()
    job_path = await page.get_by_role("link", name="A bridge in fog").get_attribute("href")
    assert job_path is not None
    await visitor.open(job_path)
    await page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog")
    create = dialog.get_by_role("button", name="Make a link")
    await expect(create).to_be_enabled()
    await page.route("**/share", refuse_request)
    await create.click()
    await expect(dialog.get_by_role("status")).to_contain_text("The service does not answer now.")
    await dialog.get_by_role("status").get_by_role("button", name="Close").click()
    await expect(dialog.get_by_role("status")).to_have_text("")
