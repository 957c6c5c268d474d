"""The console in a real browser, against a real system with two simulated nodes."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Route, async_playwright, expect

from tests.kit.fleet import Fleet, running_fleet
from tests.kit.retrying_fleet import UNAVAILABLE, RetryingFleet, few_requests_repeated
from tests.kit.waiting import repeat_until

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "clients/console"
PASSWORD = "a lighthouse needs a keeper"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTH, HEIGHT, PHONE = 1280, 860, 390
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Resolves when the browser has drawn what was just changed, and transitions have ended."""
ACCESSIBILITY_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EXPECT_WITHIN_S = 30  # Playwright's default of 5 s is too short if several processes pause
IGNORED = (  # refusals and lost connections that tests provoke
    *("status of 401", "status of 404", "status of 409", "status of 422", "status of 503"),
    "ERR_INTERNET_DISCONNECTED",
)


@pytest.fixture(scope="package")
def chromium() -> str:
    """The path of the browser's executable."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not (CONSOLE / "dist/index.html").exists():
        pytest.skip("the console is not built: run ./dev console, which needs npm access")
    if found is None:
        pytest.skip("no chromium on this machine: install the package chromium")
    return found


@pytest.fixture(scope="package")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    expect.set_options(timeout=1000 * EXPECT_WITHIN_S)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
async def fleet(chromium: str) -> AsyncIterator[Fleet]:  # noqa: ARG001 - nothing starts without a browser
    async with running_fleet(  # a job with the most steps runs for nine seconds, so that a test can cancel it
        "--nodes", "2", "--step-ms", "60", GATEWAY_LOGIN_PER_MINUTE="6000", GATEWAY_OPEN_PER_MINUTE="6000"
    ) as running:
        with few_requests_repeated():
            yield RetryingFleet.wrap(running)


@dataclass
class Visitor:
    """A person with a browser. Every error that the browser reports fails the test at its end."""

    fleet: Fleet
    page: Page
    username: str
    user_id: str
    errors: list[str] = field(default_factory=list)

    def note_crash(self, error: Error) -> None:
        self.errors.append(str(error))

    def note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    async def go_to(self, path: str) -> None:
        """Navigate to a page of the console, as a link does, and wait until it has replaced the previous page."""
        await self.page.evaluate(
            "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')) }", path
        )
        await self.page.evaluate(TWO_FRAMES)
        await expect(self.page.locator("main")).to_have_attribute("aria-busy", "false")

    async def open(self, path: str) -> None:
        """Go to a page of the console and wait until it shows what it loads."""
        await self.go_to(path)
        await expect(self.page.locator("main h1")).to_be_visible()
        await expect(self.page.locator("main .skeleton")).to_have_count(0)

    async def sign_in(self) -> None:
        await self.page.goto(self.fleet.base_url)
        await self.page.get_by_label("User name").fill(self.username)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.locator("main h1")).to_have_text("Playground")

    async def find_accessibility_faults(self, *, only: str | None = None, without: str | None = None) -> list[str]:
        """Run axe on the page and return each finding with the elements that it is about.

        Args:
            only: the one rule to run. By default all rules of WCAG 2.2 AA and of good practice run.
            without: a rule that does not run.
        """
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate((CONSOLE / "node_modules/axe-core/axe.min.js").read_text())
        rules = {without: {"enabled": False}} if without else {}
        options = {"runOnly": [only] if only else ACCESSIBILITY_RULES, "rules": rules}
        found = await self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{fault['id']}: {fault['help']}: {[node['html'][:160] for node in fault['nodes']]}"
            for fault in found["violations"]
        ]


async def repeat_while_unavailable(route: Route) -> None:
    """Repeat a request of a page that is refused with 503, because a process of the system paused.

    If a request fails, the page receives a network error.
    """
    if "text/event-stream" in (await route.request.header_value("accept") or ""):
        await route.continue_()  # an event stream has no end, so it cannot be fetched as a whole
        return
    try:
        response = await repeat_until(
            lambda response: response.status != UNAVAILABLE, lambda: route.fetch(max_redirects=0)
        )
        await route.fulfill(response=response)
    except (Error, TimeoutError):
        with suppress(Error):  # the page was closed
            await route.abort()


async def refuse_request(route: Route) -> None:
    """Answer a request of a page as if the service behind the gateway were stopped."""
    problem = {"code": "service.unavailable", "detail": "The service does not answer now."}
    headers = {"Content-Type": "application/problem+json", "Retry-After": "60"}
    await route.fulfill(status=503, headers=headers, json=problem)


NewVisitor = Callable[..., Awaitable[Visitor]]


@pytest.fixture
async def new_visitor(browser: Browser, fleet: Fleet) -> AsyncIterator[NewVisitor]:
    """Create an account and open a browser of its own, signed in unless ``signed_in=False``."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    async def create(
        username: str, *, tier: str = "pro", role: str = "user", signed_in: bool = True, **options: Any
    ) -> Visitor:
        user_id = await create_account(fleet, username, tier=tier, role=role)
        context = await browser.new_context(
            **{"viewport": {"width": WIDTH, "height": HEIGHT}, "reduced_motion": "reduce"} | options
        )
        contexts.append(context)
        await context.route("**/api/v1/**", repeat_while_unavailable)
        visitor = Visitor(fleet, await context.new_page(), username, user_id)
        visitors.append(visitor)
        visitor.page.on("pageerror", visitor.note_crash)
        visitor.page.on("console", visitor.note_console)
        if signed_in:
            await visitor.sign_in()
        return visitor

    yield create
    for context in contexts:
        await context.close()
    reported = [error for visitor in visitors for error in visitor.errors if not any(text in error for text in IGNORED)]
    assert reported == []


async def create_account(fleet: Fleet, username: str, *, tier: str, role: str) -> str:
    """Create an account unless it exists, and return its id."""
    body = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    async with fleet.client("") as anybody, fleet.client(fleet.credentials["admin_key"]) as admin:
        await anybody.post("/auth/register", json=body)
        users = (await admin.get("/admin/users", params={"search": username})).json()["users"]
        user_id = str(next(user["id"] for user in users if user["username"] == username))
        changes = {"tier": tier, "role": role, "limits": {"requests_per_minute": 100_000}}
        answer = await admin.patch(f"/admin/users/{user_id}", json=changes)
    assert answer.status_code == 200, answer.text
    return user_id
