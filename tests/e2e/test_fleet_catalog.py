"""The API lists the models and classes that the nodes have."""

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import Fleet
from tests.kit.http import http_client

REFUSED_TO_ALL = {"CheckpointSave", "SaveLoRA", "OpenAIChatNode"}  # they write models or use the network


async def listed(client: httpx.AsyncClient, **query: str) -> list[str]:
    """Return the names of all classes, page by page."""
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/nodes/classes", params={"limit": "20", **query, **cursor})).json()
        names += [found["name"] for found in page["classes"]]
        if page["next_cursor"] is None:
            return names
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.requirement("GET /api/v1/nodes/classes")
@simulated_only
async def test_fleet_lists_the_classes_of_its_nodes(fleet: Fleet, client: httpx.AsyncClient) -> None:
    async with http_client(timeout=20) as node:
        there = (await node.get(f"{fleet.nodes[0]}/object_info")).json()
    names = await listed(client)
    assert names == sorted(there.keys() - REFUSED_TO_ALL)
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        assert await listed(admin, all="true") == sorted(there)
    answer = await client.get("/nodes/classes", params={"name": "EmptyLatentImage"})
    (found,) = answer.json()["classes"]
    width = there["EmptyLatentImage"]["input"]["required"]["width"][1]
    assert (found["inputs"]["width"]["min"], found["inputs"]["width"]["max"]) == (width["min"], width["max"])
    again = await client.get(
        "/nodes/classes", params={"name": "EmptyLatentImage"}, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.requirement("GET /docs", "GET /docs/{asset}", "GET /openapi.json", "HEAD /openapi.json", "GET /asyncapi")
async def test_api_documents_are_served(fleet: Fleet) -> None:
    async with http_client(base_url=fleet.base_url, timeout=20) as http:
        assert "swagger-ui" in (await http.get("/docs")).text
        assert (await http.get("/docs/swagger-ui-bundle.js")).status_code == 200
        assert (await http.get("/openapi.json")).json()["openapi"].startswith("3.1")
        assert "jobs.submit" in (await http.get("/asyncapi")).json()["channels"]
