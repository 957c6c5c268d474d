"""A client uses a node directly: operators see it, jobs run on other nodes, and one command frees the node."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BLOCKED_AFTER_S, simulated_only
from tests.e2e.test_cli import Person
from tests.e2e.test_identity import slow
from tests.e2e.test_operations import Operator
from tests.kit.commands import Commands
from tests.kit.fleet import HELLO, Fleet
from tests.kit.http import http_client
from tests.kit.waiting import until

pytestmark = simulated_only


@pytest.mark.requirement("POST /api/v1/admin/nodes/{node}/clear", "POST /api/v1/admin/nodes/refresh")
async def test_foreign_prompt_blocks_one_node_until_an_operator_clears_it(
    fleet: Fleet, tmp_path: Path, commands: Commands
) -> None:
    operator = Operator(Person(fleet.base_url, tmp_path, commands), fleet.credentials["admin_key"])
    async with http_client() as direct, fleet.client(fleet.credentials["admin_key"]) as admin:

        async def nodes() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await admin.get("/admin/nodes")).json()["nodes"]
            return found

        posted = await direct.post(f"{fleet.nodes[0]}/prompt", json={"prompt": slow(600), "client_id": "somebody"})
        prompt_id = posted.json()["prompt_id"]

        async def is_blocked() -> bool:
            blocked = [one["occupied"] for one in await nodes() if one["blocked"]]
            return [occupied and occupied["prompt_id"] for occupied in blocked] == [prompt_id]

        await until(is_blocked, within_s=30)
        (held,) = [one for one in await operator.does("nodes") if one["blocked"]]
        assert (held["occupied"]["by"], held["occupied"]["prompt_id"]) == ("foreign_prompt", prompt_id)
        assert held["occupied"]["seconds"] >= BLOCKED_AFTER_S
        assert held["occupied"]["since"] is not None
        assert f"comfyfleet admin clear {held['node']}" in (await operator.runs("nodes")).text

        user = fleet.create_user(f"blocked-{secrets.token_hex(4)}", "pro")
        async with fleet.client(user) as client:
            for _ in range(2):
                job_id = (await fleet.submit(client, workflow=HELLO))["job_id"]
                assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
                assert (await operator.job("job", job_id))["node"] != held["node"]

            (ordered,) = await operator.does("clear", held["node"])
            assert ordered["node"] == held["node"]

            async def is_free() -> bool:
                (found,) = [one for one in await nodes() if one["node"] == held["node"]]
                return (found["blocked"], found["occupied"]) == (False, None)

            await until(is_free, within_s=30)
            ledger = (await direct.get(f"{fleet.nodes[0]}/simnode/ledger")).json()
            (entry,) = [one for one in ledger["prompts"] if one["prompt_id"] == prompt_id]
            assert entry["outcome"] == "interrupted"

            (other,) = {one["node"] for one in await operator.does("nodes")} - {held["node"]}
            await operator.does("cordon", other)
            try:
                job_id = (await fleet.submit(client, workflow=HELLO))["job_id"]
                assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
                assert (await operator.job("job", job_id))["node"] == held["node"]
            finally:
                await operator.does("uncordon", other)

            assert {one["node"] for one in await operator.does("refresh")} == {held["node"], other}
    (entry, *_) = await operator.does("audit", "--action", "node.clear")
    assert entry["detail"]["node"] == held["node"]
    assert await operator.does("audit", "--action", "nodes.refresh")


async def test_model_added_to_a_node_is_soon_available(fleet: Fleet) -> None:
    added = f"{secrets.token_hex(4)}.safetensors"
    async with fleet.client() as client, http_client() as direct:
        for url in fleet.nodes:  # the nodes keep it after the test
            there = (await direct.get(f"{url}/models/loras")).json()
            await direct.post(f"{url}/simnode/models", json={"folder": "loras", "names": [*there, added]})

        async def is_offered() -> bool:
            return added in (await client.get("/models")).text

        await until(is_offered, within_s=30)
