"""A job that kills its node affects at most two nodes and no other job."""

import pytest

from tests.chaos.conftest import attempts_of, graph
from tests.kit.fleet import Fleet
from tests.kit.http import http_client

pytestmark = pytest.mark.chaos

BYSTANDERS = 12
KILLERS = {
    "process": ("SimExit", {}, "node.lost"),
    "worker": ("SimKillWorker", {}, "node.fault"),
    "freeze": ("SimFreeze", {"seconds": 40}, "node.lost"),
}


@pytest.mark.requirement("F-37")
@pytest.mark.parametrize("killer", KILLERS)
async def test_poison_job_crashes_at_most_two_nodes(three_nodes: Fleet, killer: str) -> None:
    class_type, inputs, code = KILLERS[killer]
    fleet = three_nodes
    bystander = fleet.create_user(f"bystander{killer}", "enterprise")
    attacker = fleet.create_user(f"attacker{killer}", "enterprise")
    pids = {f"node-{number}": fleet.pid(f"node-{number}") for number in (1, 2, 3)}
    async with fleet.client(bystander) as others, fleet.client(attacker) as client:
        job_id = (await fleet.submit(client, workflow=graph(class_type, 1, **inputs)))["job_id"]
        jobs = [
            (await fleet.submit(others, workflow=graph("SimSleep", color, seconds=0.5)))["job_id"]
            for color in range(BYSTANDERS)
        ]
        ended = await fleet.wait_until_ended(client, job_id)
        for other in jobs:
            assert (await fleet.wait_until_ended(others, other))["status"] == "completed"
        used = (await client.get("/usage")).json()["usage"]
    assert (ended["status"], ended["error"]["code"], ended["attempt"]) == ("failed", "job.poison", 2)
    attempts = await attempts_of(fleet, job_id)
    assert [(one["node_died"], one["code"]) for one in attempts] == [(True, code)] * 2
    hit = {one["node"] for one in attempts}
    assert len(hit) == 2
    (spared,) = pids.keys() - hit
    assert fleet.pid(spared) == pids[spared]
    if killer == "process":  # proves that the fault occurred: both nodes are new processes
        for node in hit:
            await fleet.wait_until_replaced(node, pids[node])
    seen = await prompts_of(fleet, spared)
    assert seen
    assert not seen & {one["prompt_id"] for one in attempts}
    assert sum(day["images"] for day in used) == 0
    spent = sum(one["gpu_seconds"] for one in attempts)
    assert sum(day["gpu_seconds"] for day in used) == pytest.approx(spent, abs=0.1)  # usage messages round
    assert all(one["gpu_seconds"] > 0 for one in attempts)
    if killer == "worker":  # the node accepts nothing until it is restarted
        for node in hit:
            await fleet.wait_until_replaced(node, fleet.kill(node))


async def prompts_of(fleet: Fleet, node: str) -> set[str]:
    """Return every prompt that a simulated node has accepted since it started."""
    url = fleet.nodes[int(node.partition("-")[2]) - 1]
    async with http_client(timeout=20) as http:
        ledger = (await http.get(f"{url}/simnode/ledger")).json()
    return {prompt["prompt_id"] for prompt in ledger["prompts"]}
