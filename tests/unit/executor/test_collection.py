"""Outputs of every graph node are collected once, whether the WebSocket, the history or both report them."""

from itertools import chain
from typing import Any

from executor.domain.named_files import ModifiedTime
from executor.domain.output_collector import OutputCollector
from executor.domain.websocket_images import WebsocketImage

FOLDER = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/1"
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a..b"}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a..b"}},
    "5": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    "7": {"class_type": "LoopEnd", "inputs": {"image": ["1", 0]}},
}


def report(name: str) -> dict[str, Any]:
    return {"images": [{"filename": name, "subfolder": FOLDER, "type": "output"}]}


def test_two_nodes_that_share_a_cache_entry_have_one_output_each() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    of_the_first = {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    entry = {
        "outputs": {"2": report("a~2e~2eb_00001_.png"), "3": report("a~2e~2eb_00001_.png")},
        "meta": {"2": of_the_first, "3": of_the_first},
    }
    found = collector.collect_from_history(entry, {})
    assert [(item.node_id, item.name, item.filename) for item in found] == [
        ("2", "a..b_00001_.png", "a~2e~2eb_00001_.png"),
        ("3", "a..b_00001_.png", "a~2e~2eb_00001_.png"),
    ]
    assert len(set(found)) == 2


def test_expanded_node_output_is_identical_in_events_and_history() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    collector.expansion.apply_event("executed", {"node": "7.0.0.2", "display_node": "2"})
    early = collector.collect_during_run({"7.0.0.2": report("x.png")})
    entry = {"outputs": {"7.0.0.2": report("x.png")}, "meta": {"7.0.0.2": {"node_id": "7.0.0.2", "display_node": "7"}}}
    assert collector.collect_from_history(entry, {}) == early
    assert [item.node_id for item in early] == ["2"]


def test_expanded_node_belongs_to_its_parent_by_default() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    entry = {"outputs": {f"7.0.0.{place}": report(f"{place}.png") for place in range(15)}, "meta": {}}
    found = collector.collect_from_history(entry, {})
    assert [item.node_id for item in found] == ["7"] * 15


def test_websocket_image_is_listed_at_the_place_of_its_node() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    first = collector.add_websocket_image(WebsocketImage("5", 1, "png", b"one"))
    second = collector.add_websocket_image(WebsocketImage("5", 2, "jpg", b"two"))
    entry = {
        "outputs": {
            "2": report("x.png"),
            "5": {"images": [{"source": "websocket", "content-type": "image/png", "type": "output"}] * 2},
            "7": report("y.png"),
        }
    }
    found = collector.collect_from_history(entry, {})
    assert [item.node_id for item in found] == ["2", "5", "5", "7"]
    assert found[1:3] == [first, second]
    assert [(item.name, item.content_type, item.position) for item in found[1:3]] == [
        ("ComfyUI_00001_.png", "image/png", 0),
        ("ComfyUI_00002_.jpg", "image/jpeg", 1),
    ]


def test_subfolder_within_a_file_name_is_requested_as_subfolder() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    files = [{"filename": name, "subfolder": FOLDER} for name in ("sub/x.png", "/x.png")]
    inner, absolute = collector.collect_from_history({"outputs": {"7": {"images": files}}}, {})
    assert (inner.filename, inner.subfolder, inner.is_downloadable) == ("x.png", f"{FOLDER}/sub", True)
    assert not absolute.is_downloadable


def test_during_the_run_only_outputs_without_doubtful_files_are_collected() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    doubtful = {"filename": "a.png", "subfolder": "", "type": "output"}
    reported = {
        "images": [*report("x.png")["images"], {"image": doubtful, "score": 0.5}],
        "result": ["3d/mesh.glb", {"fov": 35}],
        "text": ["a caption"],
    }
    early = collector.collect_during_run({"7": reported})
    assert [(item.key, item.name) for item in early] == [("images", "x.png"), ("text", "7.txt")]
    found = collector.collect_from_history({"outputs": {"7": reported}}, {})
    assert [item.key for item in found] == ["images", "images", "result", "result", "text"]
    assert set(early) < set(found)


def test_previews_are_numbered_and_never_have_the_name_that_the_node_chose() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    previews = [
        {"filename": f"ComfyUI_temp_{letters}_00003_.png", "subfolder": "", "type": "temp"}
        for letters in ("abcde", "fghij")
    ]
    entry = {"outputs": {"2": {"images": [previews[0]]}, "3": {"images": previews}, "7": {"result": ["bg_0f.png"]}}}
    of_objects, of_strings, _ = collector.list_unproven_files(entry)
    written = dict.fromkeys([*of_objects, *chain.from_iterable(of_strings)], ModifiedTime(7))
    found = collector.collect_from_history(entry, written)
    assert [(item.node_id, item.name) for item in found] == [
        ("2", "ComfyUI_temp_00001_.png"),
        ("3", "ComfyUI_temp_00001_.png"),
        ("3", "ComfyUI_temp_00002_.png"),
        ("7", "bg_0f.png"),
    ]
    assert [item.filename for item in found[:2]] == [previews[0]["filename"]] * 2


def test_preview_in_the_attempt_folder_keeps_the_requested_name() -> None:
    collector = OutputCollector(GRAPH, FOLDER)
    preview = {"filename": "a~2e~2eb_00001_.mp4", "subfolder": FOLDER, "type": "temp"}
    (found,) = collector.collect_from_history({"outputs": {"7": {"gifs": [preview]}}}, {})
    assert (found.name, found.temporary) == ("a..b_00001_.mp4", True)
