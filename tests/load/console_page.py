"""Measures the console in a browser: load size, time until it can be used, scrolling, and 200 running jobs.

    ./dev load console_page [--outputs 10000] [--jobs 200]

The page is the built one with its content security policy. This process simulates its API, so that only the browser
is measured. Prints, beside the same figure of an empty page of the same height in the same browser:

* requests and compressed bytes of the first load, and the time until the sign-in form can be used on a CPU that the
  browser slows down four times;
* frames a second while the gallery of all outputs scrolls at 1,500, 4,000 and 12,000 pixels a second;
* CPU of the page's process, in percent of a core, while all jobs run and report progress twice a second.
"""

import argparse
import asyncio
import io
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from PIL import Image
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from gateway.console.files import load_console
from gateway.console.routes import create_router
from stack.ports import LOOPBACK, find_free_ports
from tests.console.conftest import CONSOLE, FLAGS, HEIGHT, WIDTH

SPEEDS = (1500, 4000, 12_000)
REPORTS_PER_S = 2
CPU_S = 15.0
SLOWDOWN = 4
AT = "2026-11-29T09:00:00Z"
ME: dict[str, Any] = {
    "id": "0199f2b0-3333-7000-8000-000000000001", "username": "ada", "email": "ada@example.com", "tier": "pro",
    "role": "user", "is_active": True, "created_at": AT, "used_today": 0, "left_today": None, "resets_at": AT,
    "limits": {"images_per_day": None, "max_running": 300, "queue_cap": 1000, "weight": 1}, "running": 0, "queued": 0,
}  # fmt: skip
SCROLL = """speed => new Promise(done => {
  const began = performance.now(), end = document.documentElement.scrollHeight - innerHeight;
  let frames = 0;
  const step = now => {
    frames += 1;
    const y = Math.min(end, (now - began) / 1000 * speed);
    scrollTo(0, y);
    if (now - began < 5000 && y < end) requestAnimationFrame(step);
    else done(frames / ((now - began) / 1000));
  };
  requestAnimationFrame(step);
})"""


def create_simulated_api(outputs: int, jobs: int, port: int) -> FastAPI:
    """Return the built console with an API that has this many outputs and running jobs."""
    app = FastAPI()

    @app.post("/api/v1/auth/{_action}")
    async def sign_in(_action: str) -> dict[str, Any]:
        return {"access_token": "x", "token_type": "bearer", "expires_in": 900}

    @app.get("/api/v1/auth/me")
    async def read_me() -> dict[str, Any]:
        return ME

    @app.get("/api/v1/workflows")
    async def list_workflows() -> dict[str, Any]:
        return {"workflows": [], "next_cursor": None}

    @app.get("/empty")
    async def show_empty_page(height: int) -> Response:
        return Response(f'<body style="margin:0;height:{height}px">', media_type="text/html")

    add_outputs(app, outputs, f"http://{LOOPBACK}:{port}/api/v1/outputs")
    add_jobs(app, jobs)
    app.include_router(create_router(load_console(CONSOLE / "dist")))
    return app


def add_outputs(app: FastAPI, count: int, url: str) -> None:
    """Add routes for the output list and for one thumbnail that all outputs share."""
    picture = io.BytesIO()
    Image.effect_noise((256, 256), 80).convert("RGB").save(picture, "WEBP")

    def output(number: int) -> dict[str, Any]:
        return {
            "id": f"0199f2b0-0000-7000-8000-{number:012x}", "job_id": f"0199f2b0-1111-7000-8000-{number:012x}",
            "index": 0, "node_id": "9", "name": f"picture_{number}.png", "kind": "image", "temporary": False,
            "content_type": "image/png", "size_bytes": 80_000, "sha256": "", "source": "file", "value": None,
            "workflow": "text-to-image", "labels": {}, "created_at": AT, "url_expires_at": AT,
            "url": f"{url}/{number}/content?token=x", "thumbnail_url": f"{url}/{number}/thumbnail?token=x",
        }  # fmt: skip

    @app.get("/api/v1/outputs")
    async def list_outputs(request: Request) -> dict[str, Any]:
        return build_page(request, count, output, "outputs")

    @app.get("/api/v1/outputs/{_number}/{_what}")
    async def read_output(_number: int, _what: str) -> Response:
        headers = {"Cache-Control": "private, max-age=1800, immutable"}
        return Response(picture.getvalue(), media_type="image/webp", headers=headers)


def add_jobs(app: FastAPI, count: int) -> None:
    """Add the list of running jobs, and the websocket that reports their progress."""

    def job(number: int) -> dict[str, Any]:
        return {
            "job_id": f"0199f2b0-2222-7000-8000-{count - number:012x}", "status": "processing", "progress": 10,
            "workflow": "text-to-image", "queue_position": None, "eta_seconds": 30, "waiting": None, "attempt": 1,
            "created_at": AT, "started_at": AT, "completed_at": None, "labels": {}, "held": False, "retry_of": None,
            "timings": {"queued_seconds": 1, "running_seconds": None, "total_seconds": None}, "outputs": [],
            "error": None, "warnings": [], "model": "sd15.safetensors", "seed": 1, "seeds": [], "urls": {},
        }  # fmt: skip

    @app.get("/api/v1/jobs")
    async def list_jobs(request: Request) -> dict[str, Any]:
        return build_page(request, count, job, "jobs")

    @app.post("/api/v1/ws-tickets", status_code=201)
    async def create_ticket() -> dict[str, Any]:
        return {"ticket": "t", "expires_in": 30, "url": ""}

    @app.websocket("/ws")
    async def watch(socket: WebSocket) -> None:
        await socket.accept()
        watched: set[str] = set()
        reporting = asyncio.create_task(report_progress(socket, watched))
        with suppress(WebSocketDisconnect):
            async for message in socket.iter_json():
                known = {"job_id": message["job_id"], "seq": 3, "status": "processing", "progress": 10, "attempt": 1}
                if message["type"] == "subscribe":
                    watched.add(message["job_id"])
                    await socket.send_json({"type": "snapshot", "outputs": [], **known})
                else:
                    watched.discard(message["job_id"])
        reporting.cancel()


async def report_progress(socket: WebSocket, watched: set[str]) -> None:
    """Send progress of every watched job, until cancelled."""
    for step in itertools.count():
        await asyncio.sleep(1 / REPORTS_PER_S)
        progress = {
            "type": "progress", "progress": step % 100, "value": step % 20, "max": 20, "node": "3",
            "node_class": "KSampler", "nodes_done": 3, "nodes_total": 7, "eta_seconds": 20,
        }  # fmt: skip
        for job_id in tuple(watched):
            await socket.send_json(progress | {"job_id": job_id})


def build_page(request: Request, total: int, make: Callable[[int], Any], noun: str) -> dict[str, Any]:
    """Return one page of a list, as the API does."""
    start = int(request.query_params.get("cursor") or 0)
    end = min(total, start + int(request.query_params.get("limit") or 50))
    return {noun: [make(number) for number in range(start, end)], "next_cursor": str(end) if end < total else None}


@asynccontextmanager
async def served(outputs: int, jobs: int) -> AsyncIterator[str]:
    """Run the simulated API in a separate process."""
    port = find_free_ports(1)[0]
    arguments = ("--serve", str(port), "--outputs", str(outputs), "--jobs", str(jobs))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.load.console_page", *arguments)
    url = f"http://{LOOPBACK}:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
            while True:
                with suppress(httpx.TransportError):
                    await http.get(f"{url}/api/v1/auth/me")
                    break
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def measure_first_load(browser: Browser, url: str) -> None:
    """Print requests, bytes and the time until the sign-in form takes input, with a slowed CPU."""
    context = await browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    began = perf_counter()
    await page.goto(url)
    await page.get_by_label("User name").fill("ada")
    usable_s = perf_counter() - began
    signed_out = list(sizes)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    await sign_in(page)
    await page.wait_for_load_state("networkidle")
    print(f"first load: {len(signed_out)} requests, {sum(signed_out) / 1000:.1f} kB with headers", end="; ")
    print(f"form usable after {usable_s:.2f} s on a CPU slowed {SLOWDOWN} times")
    print(f"with sign-in and playground: {len(sizes)} requests, {sum(sizes) / 1000:.1f} kB")
    await context.close()


async def sign_in(page: Page) -> None:
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password").fill("x" * 20)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector("main h1")


async def open_signed_in(browser: Browser, url: str, path: str) -> Page:
    page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    await page.goto(url + path)
    await sign_in(page)
    return page


async def measure_gallery(browser: Browser, url: str) -> None:
    """Print frames a second of the gallery and of an empty page of the same height."""
    page = await open_signed_in(browser, url, "/gallery")
    await page.wait_for_selector(".tile img")
    while await page.locator(".gallery-end").count() == 0:
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await page.wait_for_timeout(40)
    height = await page.evaluate("document.documentElement.scrollHeight")
    empty = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    await empty.goto(f"{url}/empty?height={height}")
    for speed in SPEEDS:
        rates = []
        for each in (empty, page):
            await each.bring_to_front()
            await each.evaluate("scrollTo(0, 0)")
            await each.wait_for_timeout(500)
            rates.append(await each.evaluate(SCROLL, speed))
        tiles = await page.locator(".tile").count()
        print(f"gallery at {speed} px/s: {rates[1]:.1f} frames/s, empty page {rates[0]:.1f}; {tiles} tiles in the page")
    await page.close()
    await empty.close()


async def measure_running_jobs(browser: Browser, url: str) -> None:
    """Print the CPU of the page's main thread while all jobs run."""
    page = await open_signed_in(browser, url, "/jobs")
    more = page.get_by_role("button", name="Show more")
    await page.wait_for_selector("tbody tr")
    while await more.count():
        await more.click()
        await page.wait_for_timeout(300)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await page.wait_for_timeout(2000)
    before, began = await task_seconds(session), perf_counter()
    await asyncio.sleep(CPU_S)
    busy = (await task_seconds(session) - before) / (perf_counter() - began)
    rows = await page.locator("tbody tr").count()
    print(f"{rows} running jobs: main thread {100 * busy:.1f} % of a core")
    await page.close()


async def task_seconds(session: CDPSession) -> float:
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


async def main(outputs: int, jobs: int) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not (CONSOLE / "dist/index.html").exists():
        sys.exit("this needs chromium and a built console: ./dev console")
    print(f"load average {os.getloadavg()[0]:.1f}")
    async with served(outputs, jobs) as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        await measure_first_load(browser, url)
        await measure_gallery(browser, url)
        await measure_running_jobs(browser, url)
        await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        uvicorn.run(
            create_simulated_api(given.outputs, given.jobs, given.serve),
            host=LOOPBACK,
            port=given.serve,
            log_level="error",
        )
    else:
        asyncio.run(main(given.outputs, given.jobs))
