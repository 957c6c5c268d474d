"""The HTTP server limits connections and shuts down gracefully."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from websockets.asyncio.client import connect as connect_socket

from chassis.http.app import create_web_app
from chassis.http.connection import ConnectionLimits
from chassis.http.writing import find_send_text
from chassis.shutdown import Shutdown
from tests.kit.http import http_client
from tests.kit.serving import serving
from tests.kit.waiting import until

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 32 << 20  # bytes; more than the kernel buffers
PART = 1 << 18  # bytes
UNREAD_S = 3.0  # longer than any pause of this process


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


def app(shutdown: Shutdown | None = None) -> FastAPI:
    made = create_web_app("test", lifespan=_nothing, probes={}, shutdown=shutdown)

    @made.get("/crash")
    async def crash() -> None:
        raise LookupError("SECRET")

    @made.put("/patient/x")
    @made.put("/ordinary/x")
    async def take(request: Request) -> int:
        return len(await request.body())

    @made.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE))

    @made.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 16)
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    return made


async def connect(at: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = at.split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.requirement("S-55")
async def test_unhandled_error_is_a_problem_document_without_details() -> None:
    async with serving(app()) as at, http_client(base_url=f"http://{at}") as http:
        answer = await http.get("/crash", headers={"X-Request-Id": "mine"})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["code"] == "internal"
        assert "SECRET" not in answer.text
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.requirement("B-23")
async def test_connections_per_address_are_limited() -> None:
    async with serving(app(), ConnectionLimits(max_connections_per_client=3)) as at:
        open_ = [await connect(at) for _ in range(3)]
        for reader, writer in open_:
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        reader, writer = await connect(at)
        refused = await reader.read()
        assert refused.startswith(b"HTTP/1.1 429")
        assert json.loads(refused.partition(b"\r\n\r\n")[2])["status"] == 429
        for _, other in (*open_, (reader, writer)):
            other.transport.abort()
        async with asyncio.timeout(10):
            while not await _served(at):
                pass


async def _served(at: str) -> bool:
    reader, writer = await connect(at)
    try:
        writer.write(GET)
        return (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.transport.abort()


@pytest.mark.requirement("B-23")
async def test_trusted_proxy_has_no_connection_limit() -> None:
    async with serving(
        app(), ConnectionLimits(max_connections_per_client=1, is_trusted=lambda address: address == "127.0.0.1")
    ) as at:
        open_ = [await connect(at) for _ in range(3)]
        for reader, writer in open_:
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        for _, writer in open_:
            writer.transport.abort()


@pytest.mark.requirement("B-23")
async def test_excessive_pipelining_closes_the_connection() -> None:
    async with serving(app()) as at:
        reader, writer = await connect(at)
        writer.write(GET * 10_000)
        async with asyncio.timeout(10):
            try:
                answered = (await reader.read()).count(b"HTTP/1.1 200")
            except ConnectionError:
                answered = 0
        assert answered < 10_000
        writer.transport.abort()
        assert await _served(at)


@pytest.mark.requirement("B-22")
async def test_route_with_its_own_body_timeout_is_exempt_from_the_minimum_rate() -> None:
    short = ConnectionLimits(body_idle_s=0.2, body_grace_s=0.2, slow_body_paths=(b"/patient/",))
    async with serving(app(), short) as at:
        reader, writer = await connect(at)
        writer.write(b"PUT /patient/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        other, cut = await connect(at)
        cut.write(b"PUT /ordinary/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        assert (await other.read()).startswith(b"HTTP/1.1 408")  # so this much time has passed
        writer.write(b"b")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.transport.abort()
        cut.transport.abort()


@pytest.mark.requirement("F-115")
@pytest.mark.parametrize("path", ["/endless", "/large"])
async def test_client_that_reads_nothing_is_disconnected(path: str) -> None:
    async with serving(app(), ConnectionLimits(max_connections_per_client=1, unread_s=0.2)) as at:
        reader, writer = await connect(at)
        writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())

        async def cut() -> bool:
            return await _served(at)

        await until(cut)
        assert not reader.at_eof()
        writer.transport.abort()


@pytest.mark.requirement("F-115")
async def test_slow_reader_receives_the_whole_response() -> None:
    async with serving(app(), ConnectionLimits(max_connections_per_client=2, unread_s=UNREAD_S)) as at:
        reader, writer = await connect(at)
        _, cut = await connect(at)
        for one in (writer, cut):
            one.write(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        read = 0

        async def is_other_cut() -> bool:
            nonlocal read
            read += len(await reader.read(PART))
            return await _served(at)

        await until(is_other_cut)  # so this much time has passed
        assert read < LARGE
        while part := await reader.read(1 << 16):
            read += len(part)
        assert read > LARGE
        for one in (writer, cut):
            one.transport.abort()


@pytest.mark.requirement("B-23")
async def test_websocket_sends_at_once_only_while_it_is_open_and_the_peer_reads() -> None:
    text = "é" * 40_000  # needs the 64-bit length field of a frame
    sent: list[bool] = []

    made = app()

    @made.websocket("/watch")
    async def watch(socket: WebSocket) -> None:
        send = find_send_text(socket.scope)
        assert send is not None
        sent.append(send("too early"))
        await socket.accept()
        while send(text):
            sent.append(True)
        await socket.send_text("last")  # blocks until the peer reads
        sent.append(send("after a pause"))
        await socket.close()
        sent.append(send("too late"))

    async with serving(made) as at, connect_socket(f"ws://{at}/watch", proxy=None) as socket:
        await until(lambda: len(sent) > 1)
        received = [message async for message in socket]
    early, *accepted, after_pause, late = sent
    assert (early, after_pause, late) == (False, True, False)
    assert received == [text] * len(accepted) + ["last", "after a pause"]


async def test_ipv6_addresses_share_a_connection_limit_per_64_prefix() -> None:
    async with serving(app(), ConnectionLimits(max_connections_per_client=2, client_key=lambda _address: "all")) as at:
        first, second = await connect(at), await connect(at)
        host, port = at.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        assert (await reader.read()).startswith(b"HTTP/1.1 429")
        for _, other in (first, second, (reader, writer)):
            other.transport.abort()


@pytest.mark.requirement("O-18")
async def test_stopping_service_is_not_ready_then_closes_and_answers_what_it_received() -> None:
    shutdown, release = Shutdown(), asyncio.Event()
    shutdown.register_drain(release.wait)
    made = app(shutdown)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @made.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async def serve_until_begun() -> None:
        async with serving(made, shutdown=shutdown, delay_s=600, finish_within_s=60) as address:
            started.set_result(address)
            await begun.wait()

    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stopping = asyncio.create_task(serve_until_begun())
    async with http_client(base_url=f"http://{await started}", timeout=30) as http:
        assert (await http.get("/readyz")).status_code == 200
        assert "connection" not in (await http.get("/healthz")).headers
        idle, writer = await connect(await started)
        writer.write(GET)
        await idle.readuntil(b'"ok"}')
        answer = asyncio.create_task(http.get("/slow"))
        await shutdown.begun.wait()
        not_ready, alive = await http.get("/readyz"), await http.get("/healthz")
        assert (not_ready.status_code, not_ready.json()["status"]) == (503, "stopping")
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")
        release.set()
        assert not shutdown.closing.is_set()  # the shutdown delay is still running
        shutdown.forced.set()  # what a second signal does
        await shutdown.closing.wait()

        async def refuses() -> bool:
            try:
                await http.get("/healthz")
            except httpx.ConnectError:
                return True
            except httpx.TransportError:  # the server stopped while the connection was being opened
                return False
            return False

        await until(refuses)
        assert await idle.read() == b""  # closed because shutdown was forced
        go_on.set()
        assert (await answer).json() == "done"
        writer.close()
    await stopping


@pytest.mark.requirement("O-18")
async def test_stopping_service_answers_a_request_on_each_open_connection() -> None:
    shutdown, stop = Shutdown(), asyncio.Event()
    made = app(shutdown)

    @made.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begin"
            await shutdown.closing.wait()
            yield b"end"

        return StreamingResponse(parts())

    async def serve_until_stop() -> None:
        async with serving(made, shutdown=shutdown, delay_s=0.01, finish_within_s=60) as address:
            started.set_result(address)
            await stop.wait()

    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stopping = asyncio.create_task(serve_until_stop())
    at = await started
    idle, streaming, new = [await connect(at) for _ in range(3)]
    idle[1].write(GET)
    assert b"connection: close" not in await idle[0].readuntil(b'"ok"}')
    streaming[1].write(GET.replace(b"/healthz", b"/stream"))
    assert b"connection: close" not in await streaming[0].readuntil(b"begin\r\n")
    stop.set()
    assert await streaming[0].readuntil(b"0\r\n\r\n") == b"3\r\nend\r\n0\r\n\r\n"
    await until(lambda: refuses_connections(at))
    for reader, writer in (idle, streaming, new):
        writer.write(GET)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer
        writer.close()
    await stopping


async def refuses_connections(at: str) -> bool:
    try:
        _, writer = await connect(at)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.requirement("log.access")
async def test_every_request_is_logged_with_its_route_and_status() -> None:
    made = app()

    @made.get("/jobs/{job_id}")
    async def read(request: Request, job_id: int) -> int:
        request.state.user_id = "alice"
        return job_id

    with capture_logs(processors=[merge_contextvars]) as logged:
        async with serving(made) as at, http_client(base_url=f"http://{at}") as http:
            for path in ("/jobs/1", "/jobs/x", "/nowhere?key=SECRET", "/crash", "/healthz"):
                await http.get(path, headers={"X-Request-Id": "request-of-a-client"})
            await http.post("/jobs/1")
    lines = [line for line in logged if line["event"] == "http.request" and line["log_level"] == "info"]
    assert [(line["method"], line.get("route"), line.get("path"), line["status"]) for line in lines] == [
        ("GET", "/jobs/{job_id}", None, 200),
        ("GET", "/jobs/{job_id}", None, 422),
        ("GET", None, "/nowhere", 404),
        ("GET", "/crash", None, 500),
        ("POST", "/jobs/{job_id}", None, 405),
    ]
    assert lines[0]["request_id"] == "request-of-a-client"
    assert [line.get("user_id") for line in lines] == ["alice", None, None, None, None]
    assert all(line["ms"] >= 0 for line in lines)
