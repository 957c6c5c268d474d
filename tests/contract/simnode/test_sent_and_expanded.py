"""Images that are sent over the WebSocket only, and nodes that expand into others, as in ComfyUI 0.3 and 0.33."""

import json
import struct

import pytest

from tests.contract.simnode.driver import Driver, node, picture

PNG = b"\x89PNG"


def sending(batch: int = 2) -> dict[str, object]:
    return {"1": picture(batch=batch), "2": node("SaveImageWebsocket", images=["1", 0])}


async def test_websocket_images_have_no_ids_by_default(driver: Driver) -> None:
    async with driver.socket("plain") as stream:
        prompt_id = await driver.submit(sending(), client_id="plain")
        await stream.wait_until_ended(prompt_id)
        entry = await driver.wait_for_history_entry(prompt_id)
    frames = [message for message in stream.seen if isinstance(message, bytes)]
    assert [struct.unpack(">II", frame[:8]) for frame in frames] == [(1, 2), (1, 2)]
    assert all(frame[8:].startswith(PNG) for frame in frames)
    assert entry["outputs"] == {}


async def test_websocket_images_name_their_node_for_clients_with_metadata_support(driver: Driver) -> None:
    async with driver.socket("flags", supports_preview_metadata=True) as stream:
        await stream.wait_until_ended(await driver.submit(sending(1), client_id="flags"))
    (frame,) = [message for message in stream.seen if isinstance(message, bytes)]
    kind, size = struct.unpack(">II", frame[:8])
    metadata = json.loads(frame[8 : 8 + size])
    assert (kind, metadata["node_id"], metadata["image_type"]) == (4, "2", "image/png")
    assert frame[8 + size :].startswith(PNG)


async def test_nodes_that_send_images_over_the_websocket_are_never_cached(driver: Driver) -> None:
    await driver.run(sending())
    entry = await driver.run(sending())
    (cached,) = [told["nodes"] for name, told in entry["status"]["messages"] if name == "execution_cached"]
    assert cached == ["1"]


async def test_expanded_nodes_are_in_the_history_until_their_parent_is_cached(driver: Driver) -> None:
    graph = {
        "1": picture(),
        "2": node("SimExpand", image=["1", 0], times=3),
        "3": node("PreviewImage", images=["2", 0]),
    }
    first, second = await driver.run(graph), await driver.run(graph)
    assert set(first["outputs"]) == {"2.0.0.1", "2.0.0.2", "2.0.0.3", "3"}
    assert first["meta"]["2.0.0.1"] == {
        "node_id": "2.0.0.1",
        "display_node": "2",
        "parent_node": "2",
        "real_node_id": "2",
    }
    assert set(second["outputs"]) == {"3"}


async def test_two_nodes_with_the_same_inputs_share_a_file(driver: Driver) -> None:
    save = node("SaveImage", images=["1", 0], filename_prefix="a")
    entry = await driver.run({"1": picture(), "2": save, "3": save})
    assert entry["outputs"]["2"] == entry["outputs"]["3"]
    assert entry["meta"]["2"] == entry["meta"]["3"]


@pytest.mark.parametrize(
    ("prefix", "subfolder", "names"),
    [
        ("a cat... at night", "", ["a cat... at night_00001_.png", "a cat... at night_00002_.png"]),
        ("日本語/Файл", "日本語", ["Файл_00001_.png", "Файл_00002_.png"]),
        ("", "", ["._00001_.png", "._00001_.png"]),
        ("a/", "", ["a_00001_.png", "a_00001_.png"]),
        ("%date:yyyy-MM-dd%", "", ["%date:yyyy-MM-dd%_00001_.png", "%date:yyyy-MM-dd%_00002_.png"]),
        ("%width%x%height%", "", ["16x16_00001_.png", "16x16_00002_.png"]),
        ("b%batch_num%", "", ["b0_00001_.png", "b0_00001_.png"]),
    ],
)
async def test_prefix_produces_the_file_names_of_comfyui(
    driver: Driver, prefix: str, subfolder: str, names: list[str]
) -> None:
    made = []
    for color in (1, 2):
        graph = {"1": picture(color), "2": node("SaveImage", images=["1", 0], filename_prefix=prefix)}
        (file,) = (await driver.run(graph))["outputs"]["2"]["images"]
        assert file["subfolder"] == subfolder
        made.append(file["filename"])
    assert made == names
