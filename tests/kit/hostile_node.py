"""A proxy in front of a simulated node that replaces responses with those a test defines.

Everything is forwarded unchanged until ``change_reply`` or ``change_frame`` is set. ``replaced`` counts changes.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

MAX_BYTES = 1 << 30
ROUTES = (
    ("GET", re.compile("/prompt"), "probe"),
    ("POST", re.compile("/prompt"), "prompt"),
    ("GET", re.compile("/queue"), "queue"),
    ("GET", re.compile("/history/(.+)"), "history"),
    ("GET", re.compile("/object_info"), "object_info"),
    ("GET", re.compile("/system_stats"), "system_stats"),
    ("GET", re.compile("/experiment/models(?:/(.+))?"), "written_models"),
    ("GET", re.compile("/models(?:/(.+))?"), "models"),
    ("GET", re.compile("/internal/logs/raw"), "log"),
    ("GET", re.compile("/view"), "view"),
    ("POST", re.compile("/upload/image"), "upload"),
    ("POST", re.compile("/api/jobs/(.+)/cancel"), "cancel"),
    ("POST", re.compile("/history"), "forget"),
)


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        drip_s: pause before every byte of the body.
        endless: repeat the body until the client disconnects.
        cut: close the connection after the body although Content-Length promises more.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0
    endless: bool = False
    cut: bool = False


@dataclass(frozen=True)
class NodeRequest:
    """A request to the node: the name of its route in ``ROUTES``, the id in its path, and parts of the request."""

    route: str
    prompt_id: str
    body: bytes
    query: dict[str, str]
    range: str


ReplyChange = Callable[[NodeRequest, Reply], Awaitable[Reply]]
FrameChange = Callable[[str], Sequence[str | bytes]]


async def unchanged_reply(_: NodeRequest, reply: Reply) -> Reply:
    """Return the node's response unchanged."""
    return reply


def unchanged_frame(frame: str) -> Sequence[str | bytes]:
    """Return the node's frame unchanged."""
    return [frame]


class HostileNode:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self.url = ""
        self.change_reply: ReplyChange = unchanged_reply
        self.change_frame: FrameChange = unchanged_frame
        self.replaced: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_get("/ws", self._socket)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._http = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    def stop_replacing(self) -> None:
        """Stop replacing anything."""
        self.change_reply, self.change_frame = unchanged_reply, unchanged_frame

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() in {"content-type", "range"}}
        async with self._http.request(
            request.method, f"{self._upstream}{request.raw_path}", data=body or None, headers=headers
        ) as response:
            kept = {
                name: value
                for name, value in response.headers.items()
                if name.lower() in {"content-type", "content-range", "etag", "last-modified"}
            }
            said = Reply(await response.read(), response.status, kept)
        asked = _identify_request(request, body)
        self.requests[asked.route] += 1
        reply = await self.change_reply(asked, said)
        if reply is not said:
            self.replaced[asked.route] += 1
        return await _send_reply(request, reply)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        assert self._http is not None
        near = web.WebSocketResponse(max_msg_size=0)
        await near.prepare(request)
        async with self._http.ws_connect(f"{self._upstream}{request.raw_path}", max_msg_size=0) as far:
            tasks = {
                asyncio.create_task(self._forward_to_client(far, near)),
                asyncio.create_task(_forward_to_node(near, far)),
            }
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):
            await near.close()
        return near

    async def _forward_to_client(self, far: aiohttp.ClientWebSocketResponse, near: web.WebSocketResponse) -> None:
        async for message in far:
            if message.type is aiohttp.WSMsgType.BINARY:
                await near.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await self._send_frames(near, message.data)

    async def _send_frames(self, near: web.WebSocketResponse, frame: str) -> None:
        frames = self.change_frame(frame)
        if list(frames) != [frame]:
            self.replaced["frame"] += 1
        for one in frames:
            if isinstance(one, bytes):
                await near.send_bytes(one)
            else:
                await near.send_str(one)


async def _forward_to_node(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    async for message in near:
        if message.type is aiohttp.WSMsgType.TEXT:
            await far.send_str(message.data)


def _identify_request(request: web.Request, body: bytes) -> NodeRequest:
    query, byte_range = dict(request.query), request.headers.get("Range", "")
    for method, path, route in ROUTES:
        found = path.fullmatch(request.path)
        if found and request.method == method:
            return NodeRequest(route, "".join(found.groups("")), body, query, byte_range)
    return NodeRequest("other", "", body, query, byte_range)


async def _send_reply(request: web.Request, reply: Reply) -> web.StreamResponse:
    if not (reply.drip_s or reply.endless or reply.cut):
        return web.Response(body=reply.body, status=reply.status, headers=reply.headers)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.cut:
        response.content_length = len(reply.body) + 1000
    try:
        await response.prepare(request)
        if reply.drip_s:
            for place in range(len(reply.body)):
                await response.write(reply.body[place : place + 1])
                await asyncio.sleep(reply.drip_s)
        else:
            await response.write(reply.body)
        while reply.endless:
            await response.write(reply.body)
    except ConnectionError:
        pass
    if reply.cut and request.transport is not None:
        request.transport.abort()
    return response
