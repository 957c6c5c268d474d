import asyncio
import time

import aiohttp
import pytest

from tests.contract.simnode.driver import DEADLINE_S, Driver, failing, saved, slept, until


async def worker_is_dead(driver: Driver) -> None:
    async def look() -> bool:
        return driver.node._worker._task is not None and driver.node._worker._task.done()

    await until(look)


async def test_simulated_node_rejects_unknown_faults_and_stops_cleared_ones(driver: Driver) -> None:
    assert (await driver.request("POST", "/simnode/faults", json={"name": "nope"}))[0] == 400
    await driver.arm_fault("prompt_500")
    await driver.clear_faults()
    assert (await driver.post(saved()))[0] == 200
    assert await driver.get("/simnode/faults") == {"faults": []}


@pytest.mark.parametrize(("when", "running"), [("idle", 0), ("started", 1), ("step", 1)])
async def test_worker_death_leaves_http_alive(driver: Driver, when: str, running: int) -> None:
    await driver.arm_fault("worker_death", when=when)
    await driver.submit(slept(0.01))
    await worker_is_dead(driver)
    await driver.submit(saved())
    queue = await driver.get("/queue")
    assert (len(queue["queue_running"]), len(queue["queue_pending"])) == (running, 2 - running)
    assert await driver.count_fault_occurrences("worker_death") == 1


@pytest.mark.parametrize("when", ["accepted", "step", "finished"])
async def test_exit_fault_ends_the_process_at_the_chosen_step(driver: Driver, when: str) -> None:
    deaths: list[int] = []
    driver.node.components.exit_process = deaths.append
    await driver.arm_fault("exit", when=when)
    await driver.run(slept(0.01))
    assert deaths == [137]
    assert await driver.count_fault_occurrences("exit") == 1


async def test_websocket_stall_delays_all_messages_and_then_sends_them(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        await driver.arm_fault("ws_stall")
        prompt_id = await driver.submit(saved(), client_id="a")
        await driver.wait_for_history_entry(prompt_id)
        assert len(stream.seen) == 1
        assert await driver.count_fault_occurrences("ws_stall") == 1
        await driver.clear_faults()
        await stream.wait_until_ended(prompt_id)


async def test_websocket_faults_refuse_and_drop_connections(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        await driver.arm_fault("ws_drop")
        with pytest.raises(ConnectionError):
            await stream.next()
    await driver.arm_fault("ws_refuse")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await driver.http.ws_connect(f"{driver.node.url}/ws")
    assert (await driver.count_fault_occurrences("ws_drop"), await driver.count_fault_occurrences("ws_refuse")) == (
        1,
        1,
    )


async def test_out_of_memory_fault_fails_only_the_armed_number_of_prompts(driver: Driver) -> None:
    await driver.arm_fault("oom", count=2)
    kinds = []
    for color in range(3):
        messages = (await driver.run(saved(color)))["status"]["messages"]
        kinds.append(messages[-1][1].get("exception_type"))
    assert kinds == ["torch.OutOfMemoryError", "torch.OutOfMemoryError", None]
    assert await driver.count_fault_occurrences("oom") == 2


async def test_out_of_memory_fault_can_last_until_memory_is_freed(driver: Driver) -> None:
    await driver.arm_fault("oom", until_freed=True)
    for color in range(2):
        messages = (await driver.run(saved(color)))["status"]["messages"]
        assert messages[-1][1]["exception_type"] == "torch.OutOfMemoryError"
    body = {"unload_models": True, "free_memory": True}
    assert (await driver.request("POST", "/free", json=body))[0] == 200

    async def is_freed() -> bool:
        return driver.node.components.faults.get_params("oom") is None

    await until(is_freed)
    assert (await driver.run(saved(2)))["status"]["completed"]


async def test_poisoned_device_stays_broken_after_faults_are_cleared(driver: Driver) -> None:
    await driver.arm_fault("poisoned")
    for color in range(2):
        error = (await driver.run(saved(color)))["status"]["messages"][-1][1]
        assert error["exception_type"] == "torch.AcceleratorError"
        assert error["exception_message"].startswith("CUDA error: an illegal memory access")
        await driver.clear_faults()
    assert await driver.count_fault_occurrences("poisoned") == 2
    assert (await driver.request("GET", "/system_stats"))[0] == 500


async def test_slow_fault_delays_responses(driver: Driver) -> None:
    await driver.arm_fault("slow_http", seconds=0.05, count=1)
    before = time.monotonic()
    await driver.get("/prompt")
    assert time.monotonic() - before >= 0.05
    await driver.arm_fault("prompt_timeout", seconds=60)
    async with driver.socket("a") as stream:
        asking = asyncio.create_task(driver.post(saved(), client_id="a"))
        await stream.until("execution_success")
        asking.cancel()
        await asyncio.wait([asking])
    assert (
        await driver.count_fault_occurrences("slow_http"),
        await driver.count_fault_occurrences("prompt_timeout"),
    ) == (1, 1)
    assert len((await driver.ledger())["prompts"]) == 1


async def test_prompt_500_fault_accepts_no_prompt(driver: Driver) -> None:
    await driver.arm_fault("prompt_500")
    assert (await driver.post(saved()))[0] == 500
    assert (await driver.post(saved()))[0] == 200
    assert await driver.count_fault_occurrences("prompt_500") == 1


async def test_history_faults_return_wrong_entries(driver: Driver) -> None:
    await driver.arm_fault("error_as_success")
    status = (await driver.run(failing()))["status"]
    assert (status["status_str"], status["messages"][-1][0]) == ("success", "execution_error")
    await driver.arm_fault("no_outputs", count=1)
    assert (await driver.run(saved()))["outputs"] == {}
    assert (await driver.run(saved()))["outputs"] != {}
    await driver.arm_fault("history_cleared")
    assert await driver.get("/history") == {}
    await driver.arm_fault("history_cleared", count=1)
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(saved(), client_id="a")
        await stream.wait_until_ended(prompt_id)
    assert await driver.get(f"/history/{prompt_id}") == {}
    fired = [
        await driver.count_fault_occurrences(name) for name in ("error_as_success", "no_outputs", "history_cleared")
    ]
    assert fired == [1, 1, 2]


async def test_view_faults_return_404_or_a_truncated_file(driver: Driver) -> None:
    entry = await driver.run(saved())
    params = entry["outputs"]["2"]["images"][0]
    await driver.arm_fault("view_404", count=2)
    await driver.arm_fault("view_truncated")
    answers = [(await driver.request("GET", "/view", params=params))[0] for _ in range(2)]
    assert answers == [404, 404]
    with pytest.raises(aiohttp.ClientPayloadError):
        await driver.request("GET", "/view", params=params)
    assert (await driver.request("GET", "/view", params=params))[0] == 200
    assert (
        await driver.count_fault_occurrences("view_404"),
        await driver.count_fault_occurrences("view_truncated"),
    ) == (2, 1)


async def test_event_faults_repeat_events_and_add_events_of_other_prompts(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        await driver.arm_fault("events_twice")
        prompt_id = await driver.submit(saved(1), client_id="a")
        await stream.wait_until_ended(prompt_id)
        await stream.wait_until_ended(prompt_id)
        await driver.clear_faults()
        story = stream.list_events()
        assert story[::2] == story[1::2]
        assert await driver.count_fault_occurrences("events_twice") == len(story) // 2
        await driver.arm_fault("foreign_events")
        second = await driver.submit(saved(2), client_id="a")
        await stream.wait_until_ended(second)
    ids = {m["data"].get("prompt_id") for m in stream.seen} - {None}
    assert len(ids) == 3
    assert await driver.count_fault_occurrences("foreign_events") > 0


async def test_interrupt_latency_delays_the_stop(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        await driver.arm_fault("interrupt_latency", seconds=0.2)
        await driver.submit(slept(60), client_id="a")
        await stream.until("progress")
        before = time.monotonic()
        await driver.request("POST", "/interrupt")
        await stream.until("execution_interrupted")
    assert time.monotonic() - before >= 0.2
    assert await driver.count_fault_occurrences("interrupt_latency") == 1


async def test_unused_graph_node_without_an_inputs_key_kills_the_worker(driver: Driver) -> None:
    await driver.submit({**saved(), "9": {"class_type": "EmptyImage"}})
    await worker_is_dead(driver)
    assert len((await driver.get("/queue"))["queue_running"]) == 1


async def test_equal_number_and_prompt_id_crash_the_queue(driver: Driver) -> None:
    await driver.arm_fault("worker_death")
    await driver.submit(saved())
    await worker_is_dead(driver)
    await driver.request("POST", "/queue", json={"clear": True})
    prompt_id = "00000000-0000-4000-8000-000000000000"
    assert (await driver.post(saved(), number=5, prompt_id=prompt_id))[0] == 200
    assert (await driver.post(saved(2), number=5, prompt_id=prompt_id))[0] == 500


async def test_a_client_id_that_is_no_string_ends_the_sending_loop(driver: Driver) -> None:
    assert (await driver.post(saved(), client_id=[]))[0] == 200
    assert isinstance(await asyncio.wait_for(driver.node.wait_for_failure(), DEADLINE_S), TypeError)


async def test_prompt_with_null_pnginfo_makes_the_jobs_list_fail(driver: Driver) -> None:
    prompt_id = await driver.submit(saved(), extra_data={"extra_pnginfo": None})
    await driver.wait_for_history_entry(prompt_id)
    assert (await driver.request("GET", "/api/jobs"))[0] == 500
    await driver.request("POST", "/history", json={"delete": [prompt_id]})
    assert (await driver.request("GET", "/api/jobs"))[0] == 200


async def test_client_that_does_not_read_blocks_other_clients_until_it_disconnects(driver: Driver) -> None:
    hub = driver.node.components.hub
    async with driver.socket("slow") as slow, driver.socket("quick") as quick:
        for _ in range(32):
            hub.send_frame(bytes(1_000_000), "slow")
        prompt_id = await driver.submit(saved(), client_id="quick")
        await driver.wait_for_history_entry(prompt_id)
        assert not hub._outbox.empty()
        slow.socket._response.close()
        await quick.wait_until_ended(prompt_id)
        assert hub._outbox.empty()
