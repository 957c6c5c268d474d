import json
import struct
from pathlib import Path

import pytest

from tests.contract.simnode.driver import (
    Driver,
    create_prompt_id,
    failing,
    node,
    picture,
    running_driver,
    sampled,
    saved,
    slept,
    workflow,
)

TAIL = ["status 0", "executing None"]
HEAD = ["status 1", "status 1", "execution_start", "execution_cached"]


async def test_events_of_a_normal_prompt_come_in_the_documented_order(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(saved(), client_id="a")
        await stream.wait_until_ended(prompt_id)
    assert stream.list_events() == [
        *HEAD,
        *["progress_state running 1", "executing 1", "progress_state finished 1"],
        *["progress_state running 2", "executing 2", "executed 2", "progress_state finished 2"],
        "execution_success",
        *TAIL,
    ]
    assert await driver.get(f"/history/{prompt_id}")


async def test_cached_prompt_executes_nothing_and_lists_the_earlier_files(driver: Driver) -> None:
    first = await driver.run(saved(), client_id="a")
    renumbered = {"7": saved()["1"], "9": node("SaveImage", images=["7", 0], filename_prefix="t/x")}
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(renumbered, client_id="a")
        await stream.wait_until_ended(prompt_id)
    assert stream.list_events() == [*HEAD, "executed 9", "progress_state finished 9", "execution_success", *TAIL]
    cached = next(m for m in stream.seen if m["type"] == "execution_cached")
    assert sorted(cached["data"]["nodes"]) == ["7", "9"]
    assert (await driver.wait_for_history_entry(prompt_id))["outputs"]["9"] == first["outputs"]["2"]


async def test_error_stops_the_prompt_without_a_success_event(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(failing("torch.OutOfMemoryError"), client_id="a")
        await stream.wait_until_ended(prompt_id)
    assert stream.list_events()[-5:] == ["progress_state running 2", "executing 2", "execution_error", *TAIL]
    data = next(m["data"] for m in stream.seen if m["type"] == "execution_error")
    assert (data["node_id"], data["node_type"], data["executed"]) == ("2", "SimFail", ["1"])
    assert data["exception_type"] == "torch.OutOfMemoryError"
    assert data["exception_message"].startswith("no\nThis error means you ran out of memory on your GPU.")
    entry = await driver.wait_for_history_entry(prompt_id)
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_error",
    ]


async def test_an_interrupt_ends_one_prompt_and_the_next_one_runs(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        first = await driver.submit(slept(60), client_id="a")
        second = await driver.submit(saved(), client_id="a")
        await stream.until("executing", node="2", prompt_id=first)
        await driver.request("POST", "/interrupt", json={"prompt_id": first})
        await stream.wait_until_ended(second)
    story = stream.list_events()
    at = story.index("execution_interrupted")
    assert story[at : at + 5] == [
        "execution_interrupted",
        "status 1",
        "executing None",
        "status 1",
        "execution_start",
    ]
    entry = await driver.wait_for_history_entry(first)
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    ledger = await driver.ledger()
    assert [one["outcome"] for one in ledger["prompts"]] == ["interrupted", "success"]
    assert ledger["max_running"] == 1
    assert ledger["interrupts"][0]["prompt_id"] == first


async def test_an_interrupt_during_the_last_node_without_checkpoint_is_success(tmp_path: Path) -> None:
    async with running_driver(tmp_path, node_s=0.2) as driver, driver.socket("a") as stream:
        prompt_id = await driver.submit(saved(), client_id="a")
        await stream.until("executing", node="2")
        await driver.request("POST", "/interrupt")
        await stream.wait_until_ended(prompt_id)
        assert (await driver.wait_for_history_entry(prompt_id))["status"]["status_str"] == "success"
        assert (await driver.run(saved(2)))["status"]["status_str"] == "success"


@pytest.mark.parametrize(("flags", "frame"), [({}, 1), ({"supports_preview_metadata": True}, 4)])
async def test_previews_follow_the_feature_flag(tmp_path: Path, flags: dict[str, bool], frame: int) -> None:
    async with running_driver(tmp_path, preview=True) as driver, driver.socket("a", **flags) as stream:
        prompt_id = await driver.submit(sampled(steps=3), client_id="a")
        await stream.wait_until_ended(prompt_id)
    steps = [
        word for word in stream.list_events() if word in {"progress_state running 4", "progress 4", f"bin {frame}"}
    ]
    tick = ["progress_state running 4", "progress 4", "bin 1"]
    if frame == 4:
        tick = ["progress_state running 4", "bin 4", "progress 4"]
    assert steps == ["progress_state running 4", *tick * 3]
    frames = [m for m in stream.seen if isinstance(m, bytes)]
    assert all(20_000 < len(one) < 150_000 for one in frames)
    if frame == 4:
        length = struct.unpack(">I", frames[0][4:8])[0]
        metadata = json.loads(frames[0][8 : 8 + length])
        assert metadata["prompt_id"] == prompt_id
        assert frames[0][8 + length :].startswith(b"\xff\xd8")
    else:
        assert frames[0][:10] == struct.pack(">II", 1, 1) + b"\xff\xd8"


async def test_progress_is_throttled_in_the_new_version_only(driver: Driver, old: Driver) -> None:
    counts = []
    for one in (driver, old):
        async with one.socket("a") as stream:
            prompt_id = await one.submit(workflow("tiled-vae-progress"), client_id="a")
            await stream.wait_until_ended(prompt_id)
        ticks = [m["data"] for m in stream.seen if isinstance(m, dict) and m["type"] == "progress"]
        assert (ticks[0]["value"], ticks[-1]["value"], ticks[-1]["max"]) == (1, 431, 431)
        counts.append(len(ticks))
    assert counts[1] == 431
    assert counts[0] < 40


async def test_without_a_client_only_broadcasts_are_sent(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(slept(0.01))
        await stream.until("status", status={"exec_info": {"queue_remaining": 0}})
    kinds = {message["type"] for message in stream.seen[1:]}
    assert kinds == {"status", "progress", "progress_state"}
    assert (await driver.wait_for_history_entry(prompt_id))["status"]["completed"] is True


async def test_events_reach_only_their_client_but_text_reaches_all(driver: Driver) -> None:
    graph = {
        "1": picture(size=32, batch=2),
        "2": node("GetImageSize", image=["1", 0]),
        "3": node("PreviewAny", source=["2", 0]),
    }
    async with driver.socket("mine") as mine, driver.socket("other") as other:
        prompt_id = await driver.submit(graph, client_id="mine")
        await mine.wait_until_ended(prompt_id)
        await other.until("status", status={"exec_info": {"queue_remaining": 0}})
    text = struct.pack(">II", 3, 1) + b"2" + b"width: 32, height: 32\n batch size: 2"
    assert text in mine.seen
    assert text in other.seen
    assert {m["type"] for m in other.seen if isinstance(m, dict)} == {"status"}
    assert (await driver.wait_for_history_entry(prompt_id))["outputs"] == {"3": {"text": ["32"]}}


async def test_reconnected_client_receives_the_active_node_without_prompt_id(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(slept(60), client_id="a")
        await stream.until("executing", node="2")
    async with driver.socket("a") as again:
        assert await again.next() == {"type": "executing", "data": {"node": "2"}}
        await driver.request("POST", "/interrupt")
        await again.until("execution_interrupted", prompt_id=prompt_id)


async def test_closing_an_older_socket_silences_the_newer_one(driver: Driver) -> None:
    async with driver.socket("a") as older, driver.socket("a") as newer, driver.socket("b") as witness:
        await older.socket.close()
        prompt_id = await driver.submit(saved(), client_id="a")
        await driver.wait_for_history_entry(prompt_id)
        await witness.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert len(newer.seen) == 1
        assert not newer.socket.closed


async def test_deleting_the_last_pending_prompt_sends_two_status_events(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        running = await driver.submit(slept(60), client_id="a")
        waiting = create_prompt_id()
        await driver.submit(saved(), client_id="a", prompt_id=waiting)
        await stream.until("status", status={"exec_info": {"queue_remaining": 2}})
        await driver.request("POST", "/queue", json={"delete": [waiting]})
        for _ in range(2):
            await stream.until("status", status={"exec_info": {"queue_remaining": 1}})
        await driver.request("POST", "/interrupt")
        await stream.wait_until_ended(running)
    assert await driver.get(f"/history/{waiting}") == {}
    assert all(m["data"].get("prompt_id") != waiting for m in stream.seen)
    assert (await driver.ledger())["prompts"][1]["outcome"] == "deleted"
