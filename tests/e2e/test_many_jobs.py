"""A web page watches several jobs over one WebSocket that it opens with a ticket."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import END_S, HELLO, Fleet
from tests.kit.held_nodes import no_job_starts

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
            ticket = (await client.post("/ws-tickets", params={"origin": PAGE})).json()
            socket = await sockets.enter_async_context(connect(ticket["url"], origin=PAGE))
            for job_id in jobs:
                await socket.send(json.dumps({"type": "subscribe", "job_id": job_id}))
            while not all(told.values()):
                frame = json.loads(await socket.recv())
                told[frame["job_id"]].append(frame)
        while not all(frames and frames[-1]["type"] == "end" for frames in told.values()):
            frame = json.loads(await socket.recv())
            told[frame["job_id"]].append(frame)
        await socket.send(json.dumps({"type": "subscribe", "job_id": jobs[0]}))
        assert json.loads(await socket.recv())["type"] == "snapshot"
    for frames in told.values():
        kinds = [frame["type"] for frame in frames]
        assert (kinds[0], kinds[-2:]) == ("snapshot", ["status", "end"])
        assert {"progress", "output"} <= set(kinds)
        assert frames[-1]["status"] == "completed"
    for url, origin in ((ticket["url"], PAGE), (await _another(client), ELSEWHERE)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin=origin).__aenter__()
        assert refused.value.response.status_code == 401


async def _another(client: httpx.AsyncClient) -> str:
    return str((await client.post("/ws-tickets", params={"origin": PAGE})).json()["url"])


async def test_ticket_of_a_revoked_key_is_refused(fleet: Fleet, client: httpx.AsyncClient) -> None:
    key = (await client.post("/auth/keys", json={"name": "page", "scopes": ["jobs:read", "jobs:write"]})).json()
    async with fleet.client(key["key"]) as page:
        job = await fleet.submit(page, workflow=HELLO)
        await fleet.wait_until_ended(page, job["job_id"])
        url = (await page.post("/ws-tickets")).json()["url"]
    assert (await client.delete(f"/auth/keys/{key['id']}")).status_code == 204
    with pytest.raises(InvalidStatus) as refused:
        await connect(url.replace("/ws?", f"/ws/jobs/{job['job_id']}?")).__aenter__()
    assert refused.value.response.status_code == 401
