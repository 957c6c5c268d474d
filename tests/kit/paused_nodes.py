"""Keeps the nodes of a running system from starting or ending jobs, so that a test can act in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.kit.fleet import Fleet
from tests.kit.http import http_client


@asynccontextmanager
async def no_job_starts(fleet: Fleet) -> AsyncIterator[None]:
    """Cordon all nodes during the block."""
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        names = [node["node"] for node in (await admin.get("/admin/nodes")).json()["nodes"]]
        try:
            await run_node_action(admin, "cordon", *names)
            yield
        finally:
            await run_node_action(admin, "uncordon", *names)


async def run_node_action(admin: httpx.AsyncClient, action: str, *nodes: str) -> None:
    """Cordon, uncordon or drain nodes."""
    for node in nodes:
        response = await admin.post(f"/admin/nodes/{node}/{action}")
        assert response.status_code == 200, response.text


@asynccontextmanager
async def no_job_ends(fleet: Fleet) -> AsyncIterator[None]:
    """During the block, let simulated nodes run prompts to their end but report them as running."""
    for node in range(len(fleet.nodes)):
        await fleet.arm_fault("history_held", node)
    try:
        yield
    finally:
        async with http_client(timeout=20) as client:
            for url in fleet.nodes:
                response = await client.delete(f"{url}/simnode/faults", params={"name": "history_held"})
                assert response.status_code == 200, response.text
