from pathlib import Path
from typing import Any

import pytest

from simnode.settings import VERSION_0_33
from tests.contract.simnode.driver import Driver, create_prompt_id, node, picture, running_driver, saved, slept


def errors_of(body: Any, node_id: str) -> list[str]:
    return [error["type"] for error in body["node_errors"][node_id]["errors"]]


async def test_prompt_numbers_increase_even_for_refused_prompts(driver: Driver) -> None:
    assert (await driver.post(saved()))[1]["number"] == 0
    assert (await driver.post({}))[0] == 400
    assert (await driver.post(saved(), front=True))[1]["number"] == -2
    assert (await driver.post(saved(), number="7.5"))[1]["number"] == 7.5
    assert (await driver.post(saved()))[1]["number"] == 3


async def test_refusals_have_exact_bodies(driver: Driver, old: Driver) -> None:
    assert await driver.request("POST", "/api/prompt", json={}) == (
        400,
        {
            "error": {
                "type": "no_prompt",
                "message": "No prompt provided",
                "details": "No prompt provided",
                "extra_info": {},
            },
            "node_errors": {},
        },
    )
    unknown = {"1": {**node("Nope"), "_meta": {"title": "My node"}}}
    assert (await driver.post(unknown))[1]["error"] == {
        "type": "missing_node_type",
        "message": "Node 'My node' not found. The custom node may not be installed.",
        "details": "Node ID '#1'",
        "extra_info": {"node_id": "1", "class_type": "Nope", "node_title": "My node"},
    }
    assert (await old.post(unknown))[1]["error"] == {
        "type": "invalid_prompt",
        "message": "Cannot execute because node Nope does not exist.",
        "details": "Node ID '#1'",
        "extra_info": {},
    }
    no_class = (await driver.post({"1": {"inputs": {}}}))[1]["error"]
    assert no_class["message"].startswith("Node 'ID #1' has no class_type.")
    status, body = await driver.post(saved(), prompt_id=create_prompt_id().upper())
    assert (status, body["error"]["type"]) == (400, "invalid_prompt_id")
    assert (await old.post(saved(), prompt_id=None))[1]["prompt_id"] == "None"
    assert (await driver.post({"1": picture()}))[1]["error"]["type"] == "prompt_no_outputs"


@pytest.mark.parametrize(
    "body",
    [
        "{not json",
        '{"prompt": []}',
        '{"prompt": {"1": 5}}',
        '{"prompt": {"1": {"class_type": "PreviewImage", "inputs": null}}}',
        '{"prompt": {}, "number": "x"}',
    ],
)
async def test_unparsable_body_returns_500_as_plain_text(driver: Driver, body: str) -> None:
    status, answer = await driver.request("POST", "/prompt", data=body)
    assert (status, answer) == (500, b"500 Internal Server Error\n\nServer got itself in trouble")


async def test_null_extra_data_with_a_client_id_returns_500(driver: Driver) -> None:
    assert (await driver.post(saved(), client_id="a", extra_data=None))[0] == 500


async def test_body_over_the_limit_returns_413(tmp_path: Path) -> None:
    async with running_driver(tmp_path, max_upload_bytes=1000) as driver:
        answer = await driver.request("POST", "/prompt", data=b" " * 1001)
    assert answer == (413, b"Maximum request body size 1000 exceeded.")


@pytest.mark.parametrize(
    ("change", "kind", "details"),
    [
        ({"width": 0}, "value_smaller_than_min", "width"),
        ({"width": 99999}, "value_bigger_than_max", "width"),
        ({"width": "abc"}, "invalid_input_type", "width, abc, invalid literal for int() with base 10: 'abc'"),
        ({"width": ["1", 0, 0]}, "bad_linked_input", "width"),
        ({"width": ["3", 0]}, "return_type_mismatch", "width, received_type(STRING) mismatch input_type(INT)"),
        ({"width": ...}, "required_input_missing", "width"),
    ],
)
async def test_each_invalid_input_is_reported_with_type_and_details(
    driver: Driver, change: Any, kind: str, details: str
) -> None:
    inputs = {name: value for name, value in {**picture()["inputs"], **change}.items() if value is not ...}
    graph = {
        "1": node("EmptyImage", **inputs),
        "2": node("PreviewImage", images=["1", 0]),
        "3": node("PrimitiveString", value="x"),
    }
    status, body = await driver.post(graph)
    assert status == 400
    assert body["error"] == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    entry = body["node_errors"]["1"]
    assert (entry["class_type"], entry["dependent_outputs"]) == ("EmptyImage", ["2"])
    assert [(error["type"], error["details"]) for error in entry["errors"]] == [(kind, details)]


async def test_missing_model_is_reported_as_value_not_in_list(driver: Driver) -> None:
    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="nope.safetensors"),
        "2": node("PreviewAny", source=["1", 0]),
    }
    error = (await driver.post(graph))[1]["node_errors"]["1"]["errors"][0]
    assert error["details"] == "ckpt_name: 'nope.safetensors' not in ['sim_anime.safetensors', 'sim_xl.safetensors']"
    assert error["extra_info"]["received_value"] == "nope.safetensors"
    assert error["extra_info"]["input_config"][0] == ["sim_anime.safetensors", "sim_xl.safetensors"]


async def test_broken_links_are_exceptions_during_validation(driver: Driver) -> None:
    for link, text in ((["9", 0], "'9'"), ([1, 0], "1"), (["1", 5], "tuple index out of range")):
        body = (await driver.post({"1": picture(), "2": node("PreviewImage", images=link)}))[1]
        error = body["node_errors"]["2"]["errors"][0]
        assert (error["type"], error["details"]) == ("exception_during_validation", text)
    inner = {
        "1": node("ImageInvert", image=["9", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("PreviewImage", images=["2", 0]),
    }
    assert errors_of((await driver.post(inner))[1], "1") == ["exception_during_inner_validation"]


async def test_cycle_is_reported_by_the_new_version_only(driver: Driver, old: Driver) -> None:
    graph = {
        "1": node("ImageInvert", image=["3", 0]),
        "2": node("PreviewImage", images=["3", 0]),
        "3": node("ImageInvert", image=["1", 0]),
    }
    body = (await driver.post(graph))[1]
    assert body["node_errors"]["3"]["errors"][0]["details"] == "3 (ImageInvert) -> 1 (ImageInvert) -> 3 (ImageInvert)"
    status, hidden = await old.post(graph)
    assert (status, hidden["node_errors"]) == (400, {})


async def test_valid_outputs_of_a_prompt_run_and_invalid_outputs_are_reported(driver: Driver) -> None:
    graph = {"1": picture(), "2": node("PreviewImage", images=["1", 0]), "3": node("SaveImage", images=["1", 0])}
    status, body = await driver.post(graph)
    assert status == 200
    assert errors_of(body, "3") == ["required_input_missing"]
    entry = await driver.wait_for_history_entry(body["prompt_id"])
    assert list(entry["outputs"]) == ["2"]
    assert entry["prompt"][4] == ["2"]


async def test_values_are_cast_in_the_stored_workflow(driver: Driver) -> None:
    graph = saved()
    graph["1"]["inputs"] |= {"width": "16", "height": 16.9, "batch_size": {"__value__": 1}}
    entry = await driver.run(graph, extra_data={"api_key_comfy_org": "secret"})
    stored = entry["prompt"][2]["1"]["inputs"]
    assert (stored["width"], stored["height"], stored["batch_size"]) == (16, 16, 1)
    assert list(entry["prompt"][3]) == ["create_time"]


async def test_partial_execution_targets_determine_which_outputs_run(driver: Driver) -> None:
    graph = {"1": picture(), "2": node("PreviewImage", images=["1", 0]), "3": node("PreviewImage", images=["1", 0])}
    status, body = await driver.post(graph, partial_execution_targets=["3"])
    assert status == 200
    assert list((await driver.wait_for_history_entry(body["prompt_id"]))["outputs"]) == ["3"]
    assert (await driver.post(graph, partial_execution_targets=["1"]))[1]["error"]["type"] == "prompt_no_outputs"


async def test_queue_is_ordered_by_number_and_entries_have_five_elements(driver: Driver, old: Driver) -> None:
    for one in (driver, old):
        running = await one.submit(slept(60))
        await one.wait_until_running(running)
        for number in (30, 10, 20):
            await one.submit(saved(), number=number, extra_data={"api_key_comfy_org": "secret"})
        queue = await one.get("/api/queue")
        assert [item[0] for item in queue["queue_pending"]] == [10, 30, 20]
        assert {len(item) for item in queue["queue_pending"] + queue["queue_running"]} == {5}
        secret_shown = "api_key_comfy_org" in queue["queue_pending"][0][3]
        assert secret_shown is (one.node.components.settings.version != VERSION_0_33)
        assert await one.get("/prompt") == {"exec_info": {"queue_remaining": 4}}
        await one.request("POST", "/queue", json={"clear": True})
        assert await one.get("/prompt") == {"exec_info": {"queue_remaining": 1}}


async def test_a_repeated_prompt_id_runs_twice(driver: Driver) -> None:
    prompt_id = create_prompt_id()
    async with driver.socket("a") as stream:
        for _ in range(2):
            await driver.submit(saved(), prompt_id=prompt_id, client_id="a")
        for _ in range(2):
            await stream.wait_until_ended(prompt_id)
    ledger = await driver.ledger()
    assert [(one["prompt_id"], one["outcome"]) for one in ledger["prompts"]] == [(prompt_id, "success")] * 2
    assert all(one["received"] <= one["started"] <= one["finished"] for one in ledger["prompts"])
