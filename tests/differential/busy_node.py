"""A node that validates prompts but runs none: a long prompt occupies its worker, and accepted prompts are deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.differential.bases import ObjectInfo, Workflow

BLURS = 400  # about a second each on a CPU, interruptible between them
CLEAR_EVERY = 20
FIRST = "keeps the node busy"


class BusyNode:
    """A node that validates posted prompts without running them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._posted = 0

    async def post(self, workflow: Workflow) -> tuple[int, Any]:
        """Post a prompt; returns the status, and the body if it is JSON."""
        answer = await self._client.post("/prompt", json={"prompt": workflow})
        self._posted += 1
        if self._posted % CLEAR_EVERY == 0:
            await self.withdraw()
        return answer.status_code, answer.json() if answer.status_code in {200, 400} else None

    async def withdraw(self) -> None:
        """Delete waiting prompts and check that the long prompt still runs."""
        (await self._client.post("/queue", json={"clear": True})).raise_for_status()
        queue = (await self._client.get("/queue")).raise_for_status().json()
        assert [FIRST in item[2] for item in queue["queue_running"]] == [True], "the node ran what it was to judge"


@asynccontextmanager
async def keep_node_busy(client: httpx.AsyncClient, object_info: ObjectInfo) -> AsyncIterator[BusyNode]:
    """Keep the node busy during the block, then leave it idle."""
    posted = await client.post("/prompt", json={"prompt": _long_prompt(object_info)})
    assert posted.status_code == 200, posted.text
    node = BusyNode(client)
    try:
        async with asyncio.timeout(10):
            while not (await client.get("/queue")).raise_for_status().json()["queue_running"]:
                pass
        yield node
    finally:
        await client.post("/queue", json={"clear": True})
        await client.post("/interrupt", json={})


def _long_prompt(object_info: ObjectInfo) -> dict[str, Any]:
    simulated = "SimSleep" in object_info
    size = 8 if simulated else 768
    image = {"width": size, "height": size, "batch_size": 2, "color": 255}
    prompt: dict[str, Any] = {FIRST: {"class_type": "EmptyImage", "inputs": image}}
    last = FIRST
    if simulated:
        last = "sleep"
        prompt[last] = {"class_type": "SimSleep", "inputs": {"image": [FIRST, 0], "seconds": 86400.0}}
    for place in range(0 if simulated else BLURS):
        inputs = {"image": [last, 0], "blur_radius": 31, "sigma": 10.0 - place / BLURS}
        last = f"blur {place}"
        prompt[last] = {"class_type": "ImageBlur", "inputs": inputs}
    prompt["keep"] = {"class_type": "PreviewImage", "inputs": {"images": [last, 0]}}
    return prompt
