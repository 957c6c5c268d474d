"""A proxy with one port for two services: routing to the backends, and responses while a backend is down."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import websockets
from aiohttp import web

from stack.layout import StateLayout
from stack.ports import find_free_ports, open_listener
from stack.processes import start_program
from stack.proxy import ClientSide, Routes
from tests.kit.http import http_client
from tests.kit.waiting import until

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB: more than all buffers on the way

ANSWER_S = 30.0  # the proxy may still be starting

Run = Callable[[int, str], Awaitable[web.AppRunner]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    runners: list[web.AppRunner] = []

    async def start(port: int, name: str) -> web.AppRunner:
        async def echo(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Upgrade") == "websocket":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                async for message in socket:
                    await socket.send_str(f"{name}: {message.data}")
                return socket
            if request.method == "POST":
                return web.Response(body=await request.read())
            return web.json_response({"name": name, "path": request.path_qs, "headers": dict(request.headers)})

        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", echo)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        runners.append(runner)
        return runner

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def routes() -> Routes:
    return Routes(*find_free_ports(2))


@pytest.fixture
async def origin(routes: Routes, layout: StateLayout) -> AsyncIterator[str]:
    with open_listener(0) as listener:
        code = f"from stack.proxy import main; main(['{listener.fileno()}', '{routes.gateway}', '{routes.notifier}'])"
        log = layout.get_log_path("proxy")
        process = start_program([sys.executable, "-c", code], log, pass_fds=(listener.fileno(),))
        yield "http://{}:{}".format(*listener.getsockname())
        await process.stop(signal.SIGTERM, 5)
    assert "Traceback" not in log.read_text()


async def test_proxy_forwards_http_to_the_gateway_unchanged(origin: str, routes: Routes, run: Run) -> None:
    await run(routes.gateway, "gateway")
    async with http_client(base_url=origin, timeout=ANSWER_S) as client:
        for path in ("/api/v1/jobs?x=1", "/", "/wsx", "/api/ws/", "/healthz"):
            answer = (await client.get(path, headers={"X-Own": "1"})).json()
            assert (answer["name"], answer["path"]) == ("gateway", path)
        assert not {"x-forwarded-for", "forwarded", "via"} & {name.lower() for name in answer["headers"]}


async def test_proxy_forwards_websockets_to_the_notifier(origin: str, routes: Routes, run: Run) -> None:
    await run(routes.notifier, "notifier")
    for path in ("/ws", "/ws/jobs/1?after=2"):
        async with websockets.connect(origin.replace("http", "ws") + path, open_timeout=ANSWER_S) as socket:
            await socket.send("hello")
            assert await socket.recv() == "notifier: hello"


async def test_proxy_passes_large_bodies_both_ways(origin: str, routes: Routes, run: Run) -> None:
    await run(routes.gateway, "gateway")
    async with http_client(base_url=origin, timeout=ANSWER_S) as client:
        assert (await client.post("/api/v1/upload", content=BIG)).content == BIG


async def test_proxy_passes_a_chunked_request(origin: str, routes: Routes, run: Run) -> None:
    await run(routes.notifier, "notifier")
    host, port = origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in ("GET /w", "s/jobs HTTP/1.1\r", "\nHost: x\r\nConnection: close\r\n\r\n"):
        writer.write(piece.encode())
        await writer.drain()
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(reader.read(), ANSWER_S)
    assert b'"notifier"' in answer
    writer.close()


async def test_proxy_waits_for_a_briefly_unavailable_backend(routes: Routes, run: Run) -> None:
    tries: list[int] = []

    def choose_port(first_line: bytes) -> int:
        tries.append(routes.choose_port(first_line))
        return tries[-1]

    def accept() -> ClientSide:
        return ClientSide(choose_port, retry_for_s=ANSWER_S)

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    origin = "http://{}:{}".format(*server.sockets[0].getsockname())
    async with server, http_client(base_url=origin, timeout=ANSWER_S) as client, asyncio.TaskGroup() as both:
        asked = both.create_task(client.get("/healthz"))
        await until(lambda: len(tries) > 2)
        await run(routes.gateway, "gateway")
        assert (await asked).status_code == 200


async def test_proxy_answers_with_a_problem_when_the_backend_stays_down(origin: str) -> None:
    async with http_client(base_url=origin, timeout=ANSWER_S) as client:
        answer = await client.post("/api/v1/jobs", content=BIG)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) == 1
    assert json.loads(answer.content)["code"] == "service.unavailable"
