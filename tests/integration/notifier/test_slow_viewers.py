import asyncio
import socket
from contextlib import AsyncExitStack, closing
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from contracts.scheduler.jobs import JobError, JobState
from tests.integration.notifier.conftest import World, frame, rest, states, world_at
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

HANDSHAKE = (
    "GET /ws/jobs/{job} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: alice-key\r\n\r\n"
)
TURNS = 400
LARGE = JobError(code="node.error", message="🖼" * 8_000)  # largest message, to fill the kernel's buffers


async def deaf_viewer(world: World, job_id: UUID) -> socket.socket:
    """Open a WebSocket whose client has a small receive buffer and does not read."""
    url = httpx.URL(f"http://{world.at}")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (url.host, url.port))
    await loop.sock_sendall(plain, HANDSHAKE.format(job=job_id).encode())
    return plain


async def drained(plain: socket.socket) -> int:
    """Read from the socket until the server closes it; return the number of bytes."""
    total = 0
    try:
        while chunk := await asyncio.get_running_loop().sock_recv(plain, 1 << 16):
            total += len(chunk)
    except ConnectionResetError:
        pass
    return total


@pytest.mark.requirement("F-115", "S-74", "frame.slow-reader")
async def test_client_that_does_not_read_is_disconnected_without_delaying_others(
    nats_server: NatsServer, database_url: str
) -> None:
    async with world_at(nats_server.url, database_url, send_timeout_s=4) as world:
        job_id = world.job()
        async with AsyncExitStack() as stack:
            good = await stack.enter_async_context(world.watch(job_id, "?after=0"))
            assert (await frame(good))["type"] == "snapshot"
            await frame(good)
            with capture_logs() as logs:
                deaf = stack.enter_context(closing(await deaf_viewer(world, job_id)))
                seen = []
                for turn in range(TURNS):  # one by one, so that the other viewer keeps up on a busy machine
                    await world.happen(job_id, JobState.QUEUED if turn % 2 else JobState.LEASED, error=LARGE)
                    seen += states([await frame(good)])
                await until(lambda: any(entry["event"] == "notifier.viewer.too_slow" for entry in logs))
            assert [seq for seq, _ in seen] == list(range(2, TURNS + 2))
            async with asyncio.timeout(20):
                received = await drained(deaf)
            assert received < TURNS * len(LARGE.message.encode())
            await world.happen(job_id, JobState.SUCCEEDED)
            assert states(await rest(good)) == [(TURNS + 2, "completed")]
