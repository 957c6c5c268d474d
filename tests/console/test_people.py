"""Actions of users in the console: generate images, watch and cancel jobs, use uploads and workflows, create a key."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from tests.console.conftest import PASSWORD, NewVisitor, Visitor
from tests.kit.waiting import until

ROOT = Path(__file__).parents[2]
PROMPT = "What should the picture show?"
WIDTH = {"width": {"node": "1", "input": "width", "type": "integer"}}
"""The parameters of a saved workflow hello: the width of its image."""


@pytest.mark.requirement("C-5")
async def test_user_makes_the_first_image_with_a_prompt_and_one_click(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("maker")
    page = visitor.page
    await page.get_by_label(PROMPT).fill("A harbour at night")
    await page.get_by_role("button", name="Make picture").click()
    card = page.get_by_role("article", name="A harbour at night")
    await expect(card).to_contain_text("Completed")
    picture = card.locator("img").first
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    await card.get_by_role("button", name="Another seed").click()
    ended = page.get_by_role("article", name="A harbour at night").filter(has_text="Completed")
    await expect(ended).to_have_count(2)
    async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
        jobs = (await admin.get("/admin/jobs", params={"tenant": visitor.user_id})).json()["jobs"]
    assert len({job["seed"] for job in jobs}) == len(jobs) == 2


@pytest.mark.requirement("C-5")
async def test_job_shows_live_progress_and_cancel_reaches_the_node(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("watcher")
    page = visitor.page
    await page.get_by_label(PROMPT).fill("A very long exposure")
    await page.get_by_text("More settings").click()
    await page.get_by_label("Steps").fill("150")
    await page.get_by_role("button", name="Make picture").click()
    card = page.get_by_role("article", name="A very long exposure")
    progress = card.get_by_role("progressbar")
    await expect(progress).to_have_attribute("aria-valuenow", re.compile(r"[1-9]\d?"))
    await expect(card).to_contain_text("KSampler")
    await card.get_by_role("button", name="Cancel").click()
    await expect(card).to_contain_text("Cancelled")

    async def is_interrupted() -> bool:
        runs = await visitor.fleet.list_runs()
        return any(run.get("interrupted") or run.get("outcome") == "interrupted" for run in runs)

    await until(is_interrupted)  # the user sees the job as cancelled before its node stops it


@pytest.mark.requirement("C-5")
async def test_refused_field_shows_its_valid_values(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("careful")
    page = visitor.page
    await page.get_by_role("button", name="Make picture").click()
    await expect(page.get_by_text("Describe the picture first.")).to_be_visible()


@pytest.mark.requirement("C-5")
async def test_uploaded_image_and_drawn_mask_become_an_inpainting_job(new_visitor: NewVisitor, tmp_path: Path) -> None:
    visitor = await new_visitor("painter")
    page = visitor.page
    image = tmp_path / "photo.png"
    image.write_bytes(await page.screenshot(clip={"x": 0, "y": 0, "width": 256, "height": 256}))
    await page.get_by_role("radio", name="Part of an image").check(force=True)
    await page.locator("input[type=file]").first.set_input_files(image)
    await page.get_by_role("button", name="Draw the mask").click()
    canvas = page.get_by_role("application")
    box = await canvas.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    await page.mouse.up()
    await page.get_by_role("button", name="Use this mask").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_label(PROMPT).fill("A red door")
    await page.get_by_role("button", name="Make picture").click()
    await expect(page.get_by_role("article", name="A red door")).to_contain_text("Completed")
    async with visitor.fleet.client(visitor.fleet.credentials["admin_key"]) as admin:
        jobs = (await admin.get("/admin/jobs", params={"tenant": visitor.user_id})).json()["jobs"]
    assert [job["workflow"] for job in jobs] == ["inpaint"]


@pytest.mark.requirement("C-5")
async def test_pasted_graph_becomes_a_form_that_is_saved_and_run(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("author")
    page = visitor.page
    await page.get_by_label("Make with").select_option(label="A workflow of ComfyUI…")
    await page.get_by_label("Or paste the JSON").fill((ROOT / "tests/workflows/hello.json").read_text())
    await page.get_by_role("button", name="Make a form of it").click()
    await page.get_by_role("button", name="Save as workflow").click()
    await page.get_by_role("dialog").get_by_label("Name", exact=True).fill("hello")
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await visitor.open("/workflows/hello")
    await page.get_by_role("button", name="Run workflow").click()
    await expect(page.get_by_role("article").first).to_contain_text("Completed")


@pytest.mark.requirement("C-5")
async def test_new_key_is_shown_once_and_works(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("keeper")
    page = visitor.page
    await visitor.open("/account/keys")
    await page.get_by_role("button", name="Create key").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("render box")
    await dialog.get_by_role("button", name="Create key").click()
    await expect(dialog).to_contain_text("It is shown only once.")
    shown = await dialog.get_by_label("Key", exact=True).input_value()
    key = re.fullmatch(r"cf_[\w-]+", shown)
    assert key is not None
    async with visitor.fleet.client(key[0]) as client:
        assert (await client.get("/auth/me")).json()["username"] == "keeper"
    await dialog.get_by_role("button", name="I have stored it").click()
    await expect(page.get_by_role("cell", name="render box", exact=True)).to_be_visible()
    assert key[0] not in await page.content()


@pytest.mark.requirement("C-6")
async def test_users_see_only_their_own_jobs_and_outputs(new_visitor: NewVisitor) -> None:
    owner, other = await new_visitor("owner"), await new_visitor("other")
    await owner.page.get_by_label(PROMPT).fill("A secret garden")
    await owner.page.get_by_role("button", name="Make picture").click()
    card = owner.page.get_by_role("article", name="A secret garden")
    await expect(card).to_contain_text("Completed")
    path = await card.get_by_role("link", name="A secret garden").get_attribute("href")
    assert path is not None

    await owner.open("/gallery")
    tile = owner.page.get_by_role("listitem").get_by_role("button").first
    await tile.click(modifiers=["Control"])
    await expect(owner.page.get_by_role("toolbar")).to_contain_text("1 job with 1 output")
    await tile.click()
    await expect(owner.page.get_by_role("toolbar")).to_have_count(0)
    await expect(owner.page.locator("main img").first).to_be_visible()
    await other.open("/gallery")
    await expect(other.page.locator("main img")).to_have_count(0)
    await other.page.evaluate(
        "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')) }", path
    )
    await expect(other.page.get_by_role("main")).to_contain_text("There is no such job")

    await tile.click()
    await owner.page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    await owner.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(owner.page.get_by_role("main")).to_contain_text("No pictures yet")


@pytest.mark.requirement("C-5")
async def test_numbers_typed_key_by_key_are_kept_as_they_are_typed(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("typist")
    page = visitor.page
    await page.get_by_label(PROMPT).fill("A number")
    await page.get_by_text("More settings").click()
    guidance, width = page.get_by_label("Guidance"), page.get_by_label("Width")
    slider = page.locator(".range").filter(has=guidance).locator("input[type=range]")

    await guidance.press("ControlOrMeta+a")
    await guidance.press_sequentially("7.5")
    await expect(guidance).to_have_value("7.5")
    await expect(slider).to_have_js_property("value", "7.5")
    await guidance.press("ArrowLeft")
    await guidance.press("ArrowLeft")
    await guidance.press_sequentially("1")
    await expect(guidance).to_have_value("71.5")  # the caret stayed where it was

    await guidance.press("ControlOrMeta+a")
    await guidance.press("Delete")
    await expect(slider).to_have_js_property("value", "7")
    await expect(guidance).to_have_value("")
    await guidance.press_sequentially("30")
    await expect(slider).to_have_js_property("value", "30")
    await expect(guidance).to_have_value("30")
    await slider.fill("12.5")
    await expect(guidance).to_have_value("12.5")

    await width.press("ControlOrMeta+a")
    await width.press_sequentially("640")
    await page.get_by_role("radio", name="Image", exact=True).check(force=True)
    strength = page.get_by_label("Strength", exact=True)
    await strength.press_sequentially("0.05")
    await expect(strength).to_have_value("0.05")
    await page.get_by_role("radio", name="Text", exact=True).check(force=True)
    async with page.expect_request("**/api/v1/jobs") as sent:
        await page.get_by_role("button", name="Make picture").click()
    submission = read_body(await sent.value)
    assert (submission["cfg_scale"], submission["width"]) == (12.5, 640)


@pytest.mark.requirement("C-5")
async def test_form_of_another_graph_shows_the_values_of_that_graph(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("paster")
    page = visitor.page
    graph = json.loads((ROOT / "tests/workflows/hello.json").read_text())
    await visitor.go_to("/?graph")
    await paste_graph(page, graph)
    await page.get_by_label("Width").fill("96")

    await visitor.open("/jobs")
    await visitor.go_to("/?graph")
    await expect(page.get_by_label("Width")).to_have_value("96")

    await page.reload()
    graph["1"]["inputs"]["width"] = 128
    await paste_graph(page, graph)
    await expect(page.get_by_label("Width")).to_have_value("128")


async def paste_graph(page: Page, graph: dict[str, Any]) -> None:
    """Paste a workflow of ComfyUI and wait for its form."""
    await page.get_by_label("Or paste the JSON").fill(json.dumps(graph))
    await page.get_by_role("button", name="Make a form of it").click()
    await expect(page.get_by_role("button", name="Save as workflow")).to_be_visible()


@pytest.mark.requirement("C-5")
async def test_changes_after_repeating_a_job_survive_a_change_of_the_page(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("repeater")
    page = visitor.page
    await save_workflow(visitor, "sized", WIDTH)
    await visitor.open("/?workflow=sized")
    await page.get_by_label("Width").fill("72")
    await page.get_by_role("button", name="Run workflow").click()
    await expect(page.get_by_role("article")).to_contain_text("Completed")

    await page.get_by_label("Width").fill("88")
    await page.get_by_role("button", name="Use these settings").click()
    await expect(page.get_by_label("Width")).to_have_value("72")
    await page.get_by_label("Width").fill("80")
    await visitor.open("/jobs")
    await visitor.go_to("/?workflow=sized")
    await expect(page.get_by_label("Width")).to_have_value("80")


@pytest.mark.requirement("C-5")
async def test_repeated_job_of_an_earlier_version_fills_the_form_of_that_version(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("historian")
    page = visitor.page
    for height in (64, 96):
        await save_workflow(visitor, "sized", WIDTH, height=height)
    await visitor.open("/workflows/sized?version=1")
    await page.get_by_label("Width").fill("72")
    await page.get_by_role("button", name="Run workflow").click()
    await expect(page.get_by_role("article")).to_contain_text("Completed")

    await visitor.open("/")
    await page.get_by_role("button", name="Use these settings").click()
    await expect(page.get_by_role("form", name="sized")).to_contain_text("version 1")
    await expect(page.get_by_label("Width")).to_have_value("72")
    await visitor.open("/workflows/sized")
    await page.get_by_role("button", name="Use these settings").click()
    await expect(page.get_by_text("You see an earlier version.")).to_be_visible()
    await expect(page.get_by_label("Width")).to_have_value("72")


async def save_workflow(visitor: Visitor, name: str, parameters: dict[str, Any], **image: Any) -> None:
    """Save the workflow hello for the visitor.

    Args:
        name: of the saved workflow.
        parameters: as the API takes them.
        image: values of the inputs of its first node, which makes an image.
    """
    graph = json.loads((ROOT / "tests/workflows/hello.json").read_text())
    graph["1"]["inputs"].update(image)
    async with visitor.fleet.client("") as client:
        login = await client.post("/auth/login", json={"username": visitor.username, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        answer = await client.put(f"/workflows/{name}", json={"workflow": graph, "parameters": parameters})
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.requirement("C-5")
async def test_saved_workflow_shows_and_edits_its_integers_exactly(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("counter")
    page = visitor.page
    largest = 2**64 - 1
    await save_workflow(visitor, "coloured", {"color": {"node": "1", "input": "color"}}, color=largest)
    await visitor.open("/workflows/coloured?tab=graph")
    await expect(page.get_by_label("Graph")).to_contain_text(f'"color": {largest}')
    await visitor.open("/workflows/coloured?tab=parameters")
    await expect(page.get_by_role("cell", name=str(largest))).to_be_visible()
    await visitor.open("/workflows/coloured?tab=api")
    await expect(page.get_by_role("tabpanel")).to_contain_text(f'"color": {largest}')
    async with page.expect_request("**/api/v1/workflows/inputs") as sent:
        await page.get_by_role("button", name="Open as a graph").click()
    assert read_body(await sent.value)["workflow"]["1"]["inputs"]["color"] == largest


@pytest.mark.requirement("C-5")
async def test_typed_seed_that_cannot_be_sent_exactly_is_refused_at_its_field(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("dicer")
    page = visitor.page
    await page.get_by_label(PROMPT).fill("A very large seed")
    seed = page.get_by_label("Seed", exact=True)
    await seed.press_sequentially("12345678901234567890")
    await expect(seed).to_have_value("12345678901234567890")
    await expect_refused_seed(page)
    await page.reload()
    await expect(page.get_by_label(PROMPT)).to_have_value("A very large seed")
    await expect_refused_seed(page)
    await seed.press("Backspace")
    await seed.press("ControlOrMeta+a")
    await seed.press_sequentially("4711")
    async with page.expect_request("**/api/v1/jobs") as sent:
        await page.get_by_role("button", name="Make picture").click()
    assert read_body(await sent.value)["seed"] == 4711


async def expect_refused_seed(page: Page) -> None:
    """Submit the form and check that it is not sent because of its seed."""
    await page.get_by_role("button", name="Make picture").click()
    seed = page.get_by_label("Seed", exact=True)
    await expect(seed).to_be_focused()
    await expect(seed).to_have_accessible_description(re.compile("cannot send this number exactly"))
    await expect(page.get_by_role("article")).to_have_count(0)


@pytest.mark.requirement("C-5")
async def test_graph_is_downloaded_and_saved_with_its_own_seed(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("archivist")
    page = visitor.page
    graph = json.loads((ROOT / "tests/workflows/tiny-txt2img.json").read_text())
    sampler = next(node_id for node_id, node in graph.items() if "seed" in node["inputs"])
    graph[sampler]["inputs"]["seed"] = 4711
    await visitor.go_to("/?graph")
    await paste_graph(page, graph)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download").click()
    downloaded = json.loads((await (await downloading.value).path()).read_text())
    assert downloaded[sampler]["inputs"]["seed"] == 4711

    await page.get_by_role("button", name="Save as workflow").click()
    await page.get_by_role("dialog").get_by_label("Name", exact=True).fill("seeded")
    async with page.expect_request("**/api/v1/workflows/seeded") as sent:
        await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    assert read_body(await sent.value)["workflow"][sampler]["inputs"]["seed"] == 4711


def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON that the page sent."""
    body: dict[str, Any] = json.loads(request.post_data or "")
    return body
