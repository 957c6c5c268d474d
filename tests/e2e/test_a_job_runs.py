"""A client submits a job, watches it, and fetches exactly what the node produced."""

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import HELLO, Fleet, read_frames
from tests.kit.http import http_client
from tests.kit.paused_nodes import no_job_starts

FOLDER = Path(__file__).parents[1] / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))


async def node_files(fleet: Fleet) -> dict[str, bytes]:
    """Return every file in the nodes' histories, fetched from the nodes directly, by SHA-256."""
    found = {}
    async with http_client(timeout=30) as node:
        for url in fleet.nodes:
            for entry in (await node.get(f"{url}/history")).json().values():
                for ui in entry["outputs"].values():
                    for file in (item for value in ui.values() for item in value if isinstance(item, dict)):
                        content = (await node.get(f"{url}/view", params=file)).content
                        found[hashlib.sha256(content).hexdigest()] = content
    return found


async def read_workflow(client: httpx.AsyncClient, path: Path) -> dict[str, Any]:
    """Read a workflow. If the nodes lack its model, it gets another one."""
    graph: dict[str, Any] = json.loads(await asyncio.to_thread(path.read_text))
    models = (await client.get("/models")).json()["models"]
    wanted = graph.get("1", {}).get("inputs", {}).get("ckpt_name")
    if wanted and wanted not in models.get("CheckpointLoaderSimple.ckpt_name", []):
        graph["1"]["inputs"]["ckpt_name"] = models["CheckpointLoaderSimple.ckpt_name"][0]
    return graph


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}", "GET /api/v1/jobs/{job_id}/outputs", "submission.workflow")
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
async def test_outputs_of_a_workflow_equal_the_files_of_its_node(
    fleet: Fleet, client: httpx.AsyncClient, path: Path
) -> None:
    job = await fleet.submit(client, workflow=await read_workflow(client, path))
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert ended["status"] == "completed", ended
    outputs = (await client.get(f"/jobs/{job['job_id']}/outputs")).json()["outputs"]
    assert outputs
    files = await node_files(fleet)
    for index, output in enumerate(outputs):
        fetched = (await client.get(f"/jobs/{job['job_id']}/result", params={"index": index})).content
        assert hashlib.sha256(fetched).hexdigest() == output["sha256"]
        assert len(fetched) == output["size_bytes"]
        assert files[output["sha256"]] == fetched
        assert (await client.get(output["url"])).content == fetched


@pytest.mark.requirement("submission.prompt", "status.completed")
@simulated_only
async def test_prompt_produces_an_image(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job = await fleet.submit(client, prompt="a lighthouse at dusk", width=128, height=96, steps=40)
    assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
    picture = await client.get(f"/jobs/{job['job_id']}/result")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


@pytest.mark.requirement("WS /ws/jobs/{job_id}", "frame.order")
@simulated_only
async def test_viewers_of_a_job_see_its_progress(fleet: Fleet, client: httpx.AsyncClient) -> None:
    graph = await read_workflow(client, FOLDER / "tiny-txt2img.json")
    graph["4"]["inputs"]["steps"] = 600  # six seconds, much longer than a pause of a process
    for frames in await watch_twice(fleet, client, graph):
        assert_live_frames(frames)
        assert len(find_progress(frames)) > 2


async def watch_twice(
    fleet: Fleet, client: httpx.AsyncClient, workflow: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Submit a job and return all frames of two WebSockets that were open before it started."""
    async with AsyncExitStack() as sockets:
        async with no_job_starts(fleet):
            job = await fleet.submit(client, workflow=workflow)
            first, second = [await sockets.enter_async_context(fleet.watch(job["job_id"])) for _ in range(2)]
            snapshots = [json.loads(await socket.recv()) for socket in (first, second)]
        return [snapshots[0], *await read_frames(first)], [snapshots[1], *await read_frames(second)]


def find_progress(frames: list[dict[str, Any]]) -> list[float]:
    return [frame["progress"] for frame in frames if frame["type"] == "progress"]


def assert_live_frames(seen: list[dict[str, Any]]) -> None:
    """Assert that the frames show a job from its snapshot to its end, in order."""
    assert seen[0]["type"] == "snapshot"
    kinds = [frame["type"] for frame in seen]
    assert kinds[-1] == "end"
    assert seen[-2] | {"type": "status"} == seen[-2]
    assert seen[-2]["status"] == "completed"
    assert kinds.index("output") > max((n for n, kind in enumerate(kinds) if kind == "progress"), default=-1)
    numbers = [frame["seq"] for frame in seen if frame["type"] == "status"]
    assert numbers == sorted(set(numbers))
    assert find_progress(seen) == sorted(find_progress(seen))


@pytest.mark.requirement("websocket.resume")
async def test_late_websocket_client_receives_all_events(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job = await fleet.submit(client, workflow=HELLO)
    await fleet.wait_until_ended(client, job["job_id"])
    async with fleet.watch(job["job_id"], after=0) as socket:
        seen = await read_frames(socket)
    assert [frame["seq"] for frame in seen if frame["type"] == "status"] == [1, 2, 3, 4]
    assert [frame["status"] for frame in seen if frame["type"] == "status"] == [
        "pending", "processing", "processing", "completed",
    ]  # fmt: skip
    assert sum(frame["type"] == "output" for frame in seen) == len(
        (await client.get(f"/jobs/{job['job_id']}")).json()["outputs"]
    )
    async with fleet.watch(job["job_id"], after=3) as socket:
        assert [frame["seq"] for frame in await read_frames(socket) if frame["type"] == "status"] == [4]


@pytest.mark.requirement("F-5", "submission.idempotency")
async def test_repeated_idempotency_key_returns_the_same_job(client: httpx.AsyncClient) -> None:
    def send(submission: dict[str, Any]) -> Any:
        return client.post("/jobs", json=submission, headers={"Idempotency-Key": "order-4711"})

    first, again, other = (
        await send({"workflow": HELLO}),
        await send({"workflow": HELLO}),
        await send({"workflow": HELLO, "priority": 1}),
    )
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert other.json()["code"] == "idempotency.key_reused"


@pytest.mark.requirement("GET /api/v1/jobs", "submission.labels")
async def test_jobs_are_paged_newest_first(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("lister", "pro")) as client:
        made = [(await fleet.submit(client, workflow=HELLO, labels={"n": str(n)}))["job_id"] for n in range(3)]
        page = (await client.get("/jobs", params={"limit": 2})).json()
        assert [job["job_id"] for job in page["jobs"]] == [made[2], made[1]]
        rest = (await client.get("/jobs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert [job["job_id"] for job in rest["jobs"]] == [made[0]]
        assert rest["next_cursor"] is None
        labelled = (await client.get("/jobs", params={"label": "n:1"})).json()
        assert [job["job_id"] for job in labelled["jobs"]] == [made[1]]
