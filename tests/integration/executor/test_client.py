"""The node client with a simulated node, in both versions whose endpoints differ."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.server import ServerConnection, serve

from executor.clients.comfyui import ComfyUIClient, FileUnavailable
from executor.clients.comfyui_events import NodeEvents
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.collect_outputs import FoundOutput, collect_outputs
from executor.domain.file_ownership import FileOwnership
from executor.store.journal import Journal
from executor.usecases.find_prompt import PromptState, find_prompt
from executor.usecases.node_state import NodeState
from executor.usecases.stop_prompt import stop_prompt
from stack.ports import find_free_ports
from stack.processes import ForkServerClient
from tests.integration.executor.graphs import hello, slow
from tests.integration.executor.processes import READY_S, Node

LIMITS: dict[str, Any] = {"reply_s": 20.0, "post_s": 20.0, "catalog_s": 20.0}


@pytest.fixture(params=["0.33.0", "0.3.64"])
async def either_node(
    fork_server: ForkServerClient, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Node]:
    node = Node(tmp_path, "--step-ms", "20", "--version", request.param, fork_server=fork_server)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def client(either_node: Node) -> AsyncIterator[ComfyUIClient]:
    client = ComfyUIClient(either_node.url, **LIMITS)
    yield client
    await client.close()


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.open()
    yield journal
    journal.close()


async def test_node_classes_are_known_once_the_node_is_online(client: ComfyUIClient) -> None:
    state = NodeState(client, catalog_every_s=60)
    classes = ("SaveImage", "PreviewAudio", "PreviewAny", "EmptyAudio", "ImageInvert")
    await state.check_node()
    assert state.online
    assert state.classes is not None
    assert [state.classes.is_output_class(name) for name in classes] == [True, True, True, False, False]


@pytest.mark.requirement("B-44")
async def test_model_in_the_output_folder_is_not_offered(client: ComfyUIClient, tmp_path: Path) -> None:
    written = tmp_path / "node/output/checkpoints/00-evil_00001_.safetensors"
    written.parent.mkdir(parents=True)
    written.write_bytes(b"")
    listed = (await client.read_object_info())["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    assert written.name in listed
    assert await client.list_written_models() == {written.name}
    state = NodeState(client, catalog_every_s=60)
    await state.check_node()
    assert state.classes is not None
    offered = state.classes.specs["CheckpointLoaderSimple"].inputs["ckpt_name"].options
    assert offered == tuple(name for name in listed if name != written.name)


async def test_prompt_runs_and_its_files_can_be_downloaded(client: ComfyUIClient, either_node: Node) -> None:
    prompt_id, graph = str(uuid4()), hello()
    answer = await client.post_prompt(graph, prompt_id, "c")
    assert answer.accepted
    await either_node.wait_until_ended(prompt_id)
    seen = await find_prompt(client, prompt_id)
    assert seen.state is PromptState.ENDED
    assert seen.entry is not None
    found = collect_outputs(seen.entry.content, graph, FileOwnership("hello"))
    async with client.download_file(found[0]) as viewed:
        content = b"".join([chunk async for chunk in viewed.chunks])
    assert len(content) == viewed.size
    assert content.startswith(b"\x89PNG")
    await client.delete_history(prompt_id)
    assert await client.read_history(prompt_id) is None


@pytest.mark.requirement("F-108")
async def test_stopping_one_prompt_does_not_affect_others(
    client: ComfyUIClient, either_node: Node, journal: Journal
) -> None:
    first, second, third = (str(uuid4()) for _ in range(3))
    for prompt_id, seconds in ((first, 5.0), (second, 30.0), (third, 0.1)):
        await client.post_prompt(slow(seconds), prompt_id, "c")
    assert await stop_prompt(client, journal, second, within_s=READY_S)
    assert journal.list_orphans() == []
    await either_node.wait_until_ended(first)
    await either_node.wait_until_ended(third)
    outcomes = [(await either_node.ledger(prompt_id))[0]["outcome"] for prompt_id in (first, second, third)]
    assert outcomes == ["success", "deleted", "success"]


async def test_a_running_prompt_is_interrupted(client: ComfyUIClient, either_node: Node, journal: Journal) -> None:
    prompt_id = str(uuid4())
    await client.post_prompt(slow(30), prompt_id, "c")
    assert await stop_prompt(client, journal, prompt_id, within_s=READY_S)
    assert (await either_node.ledger(prompt_id))[0]["outcome"] in {"interrupted", "deleted"}


async def test_prompt_that_ignores_interruption_is_recorded_as_orphaned(
    client: ComfyUIClient, either_node: Node, journal: Journal
) -> None:
    await either_node.arm_fault("interrupt_latency", seconds=60)
    prompt_id = str(uuid4())
    await client.post_prompt(slow(30), prompt_id, "c")
    assert not await stop_prompt(client, journal, prompt_id, within_s=0.3)
    assert journal.list_orphans() == [prompt_id]


async def test_downloading_a_missing_file_reports_it_as_missing(client: ComfyUIClient) -> None:
    found = FoundOutput(node_id="1", name="x.png", kind="image", content_type="image/png", filename="x.png")  # type: ignore[arg-type]
    with pytest.raises(FileUnavailable):
        async with client.download_file(found):
            pass


async def test_request_to_an_unreachable_node_counts_as_never_received() -> None:
    client = ComfyUIClient(f"http://127.0.0.1:{find_free_ports(1)[0]}", **LIMITS)
    with pytest.raises(NodeUnavailable) as away:
        await client.post_prompt({}, str(uuid4()), "c")
    assert not away.value.may_have_arrived
    await client.close()


@pytest.mark.requirement("F-53")
async def test_oversized_message_closes_the_connection_and_is_recorded() -> None:
    async def send(socket: ServerConnection) -> None:
        assert json.loads(await socket.recv())["data"] == {"supports_preview_metadata": True}
        await socket.send(b"short")
        await socket.send(bytes(1_000))
        await socket.wait_closed()

    frames: list[bytes] = []
    dropped = asyncio.Event()
    async with serve(send, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        events = NodeEvents(f"http://127.0.0.1:{port}", "client", max_message_bytes=999)
        events.start()
        await events.listen(lambda _kind, _data: None, dropped.set, frames.append)
        async with asyncio.timeout(READY_S):
            await dropped.wait()
        await events.close()
    assert frames == [b"short"]
    assert events.had_oversized_message
