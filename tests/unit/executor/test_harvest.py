from typing import Any

from contracts.scheduler import OutputKind
from executor.domain.harvest import harvest


def file(name: str, kind: str = "output", **more: Any) -> dict[str, Any]:
    return {"filename": name, "subfolder": "job/1", "type": kind, **more}


def test_every_key_is_walked_in_the_order_of_the_graph() -> None:
    outputs = {
        "7": {"gifs": [file("v.mp4", format="video/h264-mp4", fullpath="/srv/v.mp4")]},
        "3": {"images": [file("a_00001_.png"), file("a_00002_.png")], "animated": [False]},
        "9": {"a_images": [file("x.png", "temp")], "b_images": [file("y.png", "temp")]},
        "5": {"audio": [file("s.flac")]},
        "6": {"3d": [file("m.glb")]},
        "8": {"latents": [file("l.latent")]},
    }
    graph = dict.fromkeys(["3", "5", "6", "7", "8", "9"])
    found = harvest({"outputs": outputs}, graph)
    assert [item.node_id for item in found] == ["3", "3", "5", "6", "7", "8", "9", "9"]
    assert [item.kind for item in found[2:6]] == [
        OutputKind.AUDIO,
        OutputKind.MODEL,
        OutputKind.VIDEO,
        OutputKind.FILE,
    ]
    assert found[4].content_type == "video/mp4"
    assert [item.temporary for item in found[-2:]] == [True, True]


def test_texts_are_outputs_unless_they_were_saved_too() -> None:
    outputs = {"1": {"text": ["one", "two", 3]}, "2": {"text": ["kept"], "files": [file("t.txt")]}, "3": {"text": "x"}}
    found = harvest({"outputs": outputs}, dict.fromkeys("123"))
    assert [(item.name, item.text) for item in found] == [
        ("1.txt", "one"),
        ("1-2.txt", "two"),
        ("t.txt", None),
        ("3.txt", "x"),
    ]


def test_an_expanded_node_stands_for_the_one_in_the_graph() -> None:
    entry = {
        "outputs": {"2.0.0.1": {"images": [file("a.png")]}},
        "meta": {"2.0.0.1": {"node_id": "2.0.0.1", "display_node": "2"}},
    }
    assert harvest(entry, {"2": {}})[0].node_id == "2"


def test_the_same_file_named_twice_is_one_output() -> None:
    outputs = {"1": {"images": [file("a.png")]}, "2": {"images": [file("a.png")]}}
    assert len(harvest({"outputs": outputs}, dict.fromkeys("12"))) == 1


def test_what_makes_no_sense_is_no_output() -> None:
    outputs = {
        "1": {"images": [None, True, 3, {"filename": 5}, {"filename": ""}, file("in.png", "input")]},
        "2": None,
        "3": {"images": [{"filename": "a.png", "subfolder": 3}]},
    }
    assert harvest({"outputs": outputs}, dict.fromkeys("123")) == []
    assert harvest({"outputs": None}, {}) == []
    assert harvest({}, {}) == []


def test_a_shown_name_has_no_path_and_no_control_characters() -> None:
    found = harvest({"outputs": {"1": {"images": [file("../a\nb.png")]}}}, {"1": {}})
    assert found[0].name == "a_b.png"
    assert found[0].filename == "../a\nb.png"


def test_deep_and_wide_reports_are_bounded() -> None:
    deep: Any = file("a.png")
    for _ in range(100_000):
        deep = [deep]
    wide = {"images": [file(f"{number}.png") for number in range(30_000)]}
    assert harvest({"outputs": {"1": {"images": deep}}}, {}) == []
    assert len(harvest({"outputs": {"1": wide}}, {})) == 10_000
    assert len(harvest({"outputs": {"1": {"text": ["t"] * 30_000}}}, {})) == 10_000


def test_names_are_cleaned_and_files_without_a_request_are_known() -> None:
    (bad,) = harvest({"outputs": {"\ud800": {"images": [file("caf\udce9.png")]}}}, {})
    assert (bad.node_id, bad.name, bad.addressable) == ("\ufffd", "caf\ufffd.png", False)
    (good,) = harvest({"outputs": {"1": {"images": [file("a.png")]}}}, {})
    assert good.addressable


def test_shapes_that_make_no_sense_are_no_files() -> None:
    odd = [
        {"filename": "a", "type": []},
        {"filename": "a", "subfolder": {}},
        {"filename": []},
        {"filename": ""},
        None,
        5,
    ]
    assert harvest({"outputs": {"1": {"images": odd}, "2": None, "3": 5}, "meta": []}, {}) == []
