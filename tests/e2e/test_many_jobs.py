"""A web page watches several jobs over one WebSocket that it opens with a ticket."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from contracts.wire.errors import Unavailable
from tests.e2e.conftest import simulated_only
from tests.kit.fleet import END_S, HELLO, Fleet
from tests.kit.paused_nodes import no_job_starts
from tests.kit.retrying_connect import is_unavailable
from tests.kit.waiting import repeat_until

PAGE, ELSEWHERE = Origin("https://app.example"), Origin("https://evil.example")


@pytest.mark.requirement("POST /api/v1/ws-tickets", "table auth.ws_tickets", "credential.ticket", "WS /ws")
@simulated_only
async def test_one_ticket_websocket_watches_many_jobs(fleet: Fleet, client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(END_S), AsyncExitStack() as sockets:
        async with no_job_starts(fleet):
            jobs = [
                (await fleet.submit(client, prompt="one of three", width=64, height=64, steps=30, seed=seed))["job_id"]
                for seed in (1, 2, 3)
            ]
            told: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in jobs}
            url, opened = await open_with_ticket(client)
            socket = await sockets.enter_async_context(opened)
            for job_id in jobs:
                await subscribe(socket, job_id)
            while not all(told.values()):
                frame = await receive(socket)
                told[frame["job_id"]].append(frame)
        while not all(frames and frames[-1]["type"] == "end" for frames in told.values()):
            frame = await receive(socket)
            told[frame["job_id"]].append(frame)
        await subscribe(socket, jobs[0])
        assert (await receive(socket))["type"] == "snapshot"
    for frames in told.values():
        kinds = [frame["type"] for frame in frames]
        assert (kinds[0], kinds[-2:]) == ("snapshot", ["status", "end"])
        assert {"progress", "output"} <= set(kinds)
        assert frames[-1]["status"] == "completed"
    for used, origin in ((url, PAGE), (await create_ticket(client), ELSEWHERE)):
        assert await status_of_refusal(used, origin) == 401


async def create_ticket(client: httpx.AsyncClient) -> str:
    """Create a ticket for the page; returns the URL that contains it."""
    return str((await client.post("/ws-tickets", params={"origin": PAGE})).json()["url"])


async def open_with_ticket(client: httpx.AsyncClient) -> tuple[str, ClientConnection]:
    """Open a WebSocket, with one ticket after another while a service does not reply. Returns its URL too."""

    async def open_once() -> tuple[str, ClientConnection | InvalidStatus]:
        url = await create_ticket(client)
        try:
            return url, await connect(url, origin=PAGE)
        except InvalidStatus as refused:
            return url, refused

    url, opened = await repeat_until(lambda tried: not is_unavailable_refusal(tried[1]), open_once)
    if isinstance(opened, InvalidStatus):
        raise opened
    return url, opened


async def subscribe(socket: ClientConnection, job_id: str) -> None:
    await socket.send(json.dumps({"type": "subscribe", "job_id": job_id}))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """Return the next frame. A subscription that is refused because a service does not reply is sent again."""
    while True:
        frame: dict[str, Any] = json.loads(await socket.recv())
        if frame.get("code") != Unavailable.code:
            return frame
        await subscribe(socket, frame["job_id"])


async def status_of_refusal(url: str, origin: Origin | None = None) -> int:
    """Return the status that refuses a handshake, again while a service does not reply."""

    async def refuse() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin=origin)
        return refused.value

    refused = await repeat_until(lambda refused: not is_unavailable(refused), refuse)
    return refused.response.status_code


def is_unavailable_refusal(opened: ClientConnection | InvalidStatus) -> bool:
    return isinstance(opened, InvalidStatus) and is_unavailable(opened)


async def test_ticket_of_a_revoked_key_is_refused(fleet: Fleet, client: httpx.AsyncClient) -> None:
    key = (await client.post("/auth/keys", json={"name": "page", "scopes": ["jobs:read", "jobs:write"]})).json()
    async with fleet.client(key["key"]) as page:
        job = await fleet.submit(page, workflow=HELLO)
        await fleet.wait_until_ended(page, job["job_id"])
        url = (await page.post("/ws-tickets")).json()["url"]
    assert (await client.delete(f"/auth/keys/{key['id']}")).status_code == 204
    assert await status_of_refusal(url.replace("/ws?", f"/ws/jobs/{job['job_id']}?")) == 401
