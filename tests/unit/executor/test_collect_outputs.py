import json
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import pytest

from contracts.scheduler.outputs import OutputKind, OutputSource
from executor.domain.collect_outputs import (
    JSON_TYPE,
    TEXT_TYPE,
    FoundOutput,
    UnprovenFiles,
    ValueTooDeep,
    list_unproven_files,
)
from executor.domain.collect_outputs import collect_outputs as collect_outputs_of
from executor.domain.file_ownership import FileOwnership
from executor.domain.named_files import ModifiedTime, NodeFilePath
from tests.kit.output_shapes import KINDS, SHAPES, ExpectedOutput, Shape

FOLDER = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/1"
OTHER_FOLDER = "0199f2b0-7c3e-7a51-9d24-000000000000/1"


def collect_outputs(
    entry: dict[str, Any], graph: dict[str, Any], written: dict[NodeFilePath, ModifiedTime] | None = None
) -> list[FoundOutput]:
    return collect_outputs_of(entry, graph, FileOwnership(FOLDER, written or {}))


def file(name: str, kind: str = "output", **more: Any) -> dict[str, Any]:
    return {"filename": name, "subfolder": FOLDER, "type": kind, **more}


def test_outputs_under_every_key_are_collected_in_graph_order() -> None:
    outputs = {
        "7": {"gifs": [file("v.mp4", format="video/h264-mp4", fullpath="/srv/v.mp4")]},
        "3": {"images": [file("a_00001_.png"), file("a_00002_.png")], "animated": [False]},
        "9": {"a_images": [file("x.png", "temp")], "b_images": [file("y.png", "temp")]},
        "5": {"audio": [file("s.flac")]},
        "6": {"3d": [file("m.glb")]},
        "8": {"latents": [file("l.latent")]},
    }
    graph = dict.fromkeys(["3", "5", "6", "7", "8", "9"])
    found = collect_outputs({"outputs": outputs}, graph)
    assert [item.node_id for item in found] == ["3", "3", "5", "6", "7", "8", "9", "9"]
    assert [item.kind for item in found[2:6]] == [
        OutputKind.AUDIO,
        OutputKind.MODEL,
        OutputKind.VIDEO,
        OutputKind.FILE,
    ]
    assert found[4].content_type == "video/mp4"
    assert [item.temporary for item in found[-2:]] == [True, True]


def found_in(shape: Shape) -> list[FoundOutput]:
    """Return the outputs found in a shape's report; the node wrote the shape's files during the prompt."""
    written = {place_of(path): ModifiedTime(7) for path in shape.files}
    entry = {"outputs": {"9": shape.report}}
    unproven = list_unproven_files(entry, FileOwnership(FOLDER))
    looked_up = [*unproven.of_objects, *chain.from_iterable(unproven.of_strings)]
    return collect_outputs(entry, {"9": {}}, {path: written[path] for path in looked_up if path in written})


def place_of(path: str) -> NodeFilePath:
    kind, _, inside = path.partition("/")
    subfolder, _, filename = inside.rpartition("/")
    return NodeFilePath(kind, subfolder, filename)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_reported_value_becomes_an_output(shape: Shape) -> None:
    found = found_in(shape)
    assert [(item.key, item.position, item.temporary) for item in found] == [
        (one.key, one.position, one.temporary) for one in shape.expected
    ]
    for item, expected in zip(found, shape.expected, strict=True):
        assert item.node_id == "9"
        assert_is(item, expected)


def assert_is(item: FoundOutput, expected: ExpectedOutput) -> None:
    if expected.file is not None:
        assert (item.source, item.content) == (OutputSource.FILE, None)
        assert (item.folder, item.subfolder, item.filename) == place_of(expected.file)
        assert item.kind is KINDS.get(PurePosixPath(expected.file).suffix, OutputKind.FILE)
        return
    assert (item.source, item.kind) == (OutputSource.VALUE, OutputKind.TEXT)
    assert item.content is not None
    if expected.text is not None:
        assert (item.content_type, item.content.decode()) == (TEXT_TYPE, expected.text)
    else:
        assert item.content_type == JSON_TYPE
        assert json.loads(item.content) == expected.json


def test_corpus_has_at_least_sixty_distinct_shapes() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 60


def test_values_are_named_by_node_key_and_position() -> None:
    outputs = {"1": {"text": ["one", "two", 3]}, "2": {"tags": ["a, b"], "dims": [1, 2]}}
    found = collect_outputs({"outputs": outputs}, dict.fromkeys("12"))
    assert [item.name for item in found] == [
        "1.txt", "1-2.txt", "1-3.json", "2-tags.txt", "2-dims.json", "2-dims-2.json",
    ]  # fmt: skip


def test_equal_texts_of_one_node_stay_separate_outputs() -> None:
    meta = {name: {"display_node": "2"} for name in ("2.0.0.1", "2.0.0.2")}
    outputs = {name: {"text": ["same"]} for name in meta}
    found = collect_outputs({"outputs": outputs, "meta": meta}, {"2": {}})
    assert [item.node_id for item in found] == ["2", "2"]
    assert len(set(found)) == 2


def test_expanded_node_is_reported_as_its_node_in_the_graph() -> None:
    entry = {
        "outputs": {"2.0.0.1": {"images": [file("a.png")]}},
        "meta": {"2.0.0.1": {"node_id": "2.0.0.1", "display_node": "2"}},
    }
    assert collect_outputs(entry, {"2": {}})[0].node_id == "2"


def test_file_reported_by_two_nodes_is_an_output_of_each() -> None:
    outputs = {"1": {"images": [file("a.png")]}, "2": {"images": [file("a.png")]}}
    found = collect_outputs({"outputs": outputs}, dict.fromkeys("12"))
    assert [(item.node_id, item.filename) for item in found] == [("1", "a.png"), ("2", "a.png")]


def test_history_entry_without_outputs_yields_no_outputs() -> None:
    assert collect_outputs({"outputs": {"1": None, "2": {}, "3": {"images": []}}}, {}) == []
    assert collect_outputs({"outputs": None}, {}) == []
    assert collect_outputs({}, {}) == []


def test_displayed_file_name_has_no_path_and_no_control_characters() -> None:
    found = collect_outputs({"outputs": {"1": {"images": [file("../a\nb.png")]}}}, {"1": {}})
    assert found[0].name == "a_b.png"
    assert found[0].filename == "../a\nb.png"


def test_too_deeply_nested_value_is_reported() -> None:
    deep: Any = "core"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueTooDeep):
        collect_outputs({"outputs": {"1": {"value": [deep]}}}, {})


def test_number_of_collected_values_is_bounded() -> None:
    wide = {"images": [file(f"{number}.png") for number in range(30_000)]}
    assert len(collect_outputs({"outputs": {"1": wide}}, {})) == 10_000
    many = {f"key {number}": ["t"] for number in range(30_000)}
    assert len(collect_outputs({"outputs": {"1": many}}, {})) == 10_000


def test_file_names_are_sanitized_and_undownloadable_files_are_marked() -> None:
    (bad,) = collect_outputs({"outputs": {"\ud800": {"images": [file("caf\udce9.png")]}}}, {})
    assert (bad.node_id, bad.name, bad.is_downloadable) == ("\ufffd", "caf\ufffd.png", False)
    (good,) = collect_outputs({"outputs": {"1": {"images": [file("a.png")]}}}, {})
    assert good.is_downloadable


def test_objects_without_a_file_name_become_json_outputs() -> None:
    odd = [{"filename": "a", "type": []}, {"filename": "a", "subfolder": {}}, {"filename": []}, {"filename": ""}, 5]
    found = collect_outputs({"outputs": {"1": {"images": odd}, "3": 5}, "meta": []}, {})
    assert [json.loads(item.content or b"") for item in found] == [*odd, 5]
    assert {item.content_type for item in found} == {JSON_TYPE}


PREVIEW = {"filename": "ComfyUI_temp_abcde_00001_.png", "subfolder": "", "type": "temp"}
FOREIGN_FILES = [
    {"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"},
    {"filename": "ComfyUI_00001_.png"},
    {"filename": "a.png", "subfolder": "sub", "type": "output"},
    {"filename": "a.png", "subfolder": OTHER_FOLDER, "type": "output"},
    {"filename": "a.png", "subfolder": f"{FOLDER}/../../{OTHER_FOLDER}", "type": "output"},
    {"filename": "a.png", "subfolder": f"{FOLDER}\\..\\..", "type": "output"},
    {"filename": "a.png", "subfolder": f"{FOLDER}/.. /..", "type": "output"},
    {"filename": "a.png", "subfolder": f"{FOLDER}0", "type": "output"},
    {"filename": "a.png", "subfolder": f"/{FOLDER}", "type": "output"},
    {"filename": f"{FOLDER}/../../a.png", "subfolder": "", "type": "output"},
    {"filename": "a.png [input]", "subfolder": FOLDER, "type": "output"},
    {"filename": "blake3:0123", "subfolder": FOLDER, "type": "output"},
]


def report_of_preview(camera: Any) -> dict[str, Any]:
    """Return what a 3D preview reports about a camera that the workflow gave."""
    return {"outputs": {"1": {"result": ["", camera, None]}}}


@pytest.mark.parametrize("entry", FOREIGN_FILES, ids=str)
def test_object_that_names_a_file_of_others_is_json(entry: dict[str, Any]) -> None:
    report = report_of_preview({"a": [entry]})
    _, found = collect_outputs(report, {"1": {}})
    assert found.content is not None
    assert json.loads(found.content) == {"a": [entry]}
    (direct,) = collect_outputs({"outputs": {"1": {"images": [entry]}}}, {"1": {}})
    assert direct.content is not None
    assert json.loads(direct.content) == entry


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NodeFilePath("output", "", "a.png"), True),
        (NodeFilePath("temp", "pack/sub", "a.png"), True),
        (NodeFilePath("output", "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "a.png"), True),
        (NodeFilePath("output", OTHER_FOLDER, "a.png"), False),
        (NodeFilePath("output", f"{OTHER_FOLDER.upper()}/sub", "a.png"), False),
        (NodeFilePath("output", f"./{OTHER_FOLDER.replace('/', '//')}", "a.png"), False),
        (NodeFilePath("temp", "comfyfleet", "a.png"), False),
        (NodeFilePath("temp", "./ComfyFleet/sub", "a.png"), False),
        (NodeFilePath("output", "a/../comfyfleet", "a.png"), False),
        (NodeFilePath("temp", "comfyfleet.", "a.png"), False),
        (NodeFilePath("temp", "comfyfleet ./sub", "a.png"), False),
        (NodeFilePath("temp", "COMFYF~1", "a.png"), False),
        (NodeFilePath("temp", "comfyfleet::$INDEX_ALLOCATION", "a.png"), False),
        (NodeFilePath("temp", "comfy\u200bfleet", "a.png"), False),
        (NodeFilePath("temp", "comfy\ufefffleet", "a.png"), False),
        (NodeFilePath("output", f"{OTHER_FOLDER}.", "a.png"), False),
        (NodeFilePath("output", OTHER_FOLDER.replace("/", " /"), "a.png"), False),
        (NodeFilePath("output", "0199F2~1/1", "a.png"), False),
        (NodeFilePath("output", "my.pack/v1.5/a b/~x", "a.png"), True),
        (NodeFilePath("output", "", "a..png"), False),
        (NodeFilePath("output", "", "a.png [temp]"), False),
    ],
    ids=str,
)
def test_modification_time_proves_nothing_in_folders_where_others_write(path: NodeFilePath, *, expected: bool) -> None:
    assert FileOwnership(FOLDER).may_be_written(path) is expected
    entry = {"type": path.folder, "subfolder": path.subfolder, "filename": path.filename}
    listed = list_unproven_files({"outputs": {"1": {"images": [entry]}}}, FileOwnership(FOLDER))
    assert listed == UnprovenFiles((path,) if expected else (), (), ())


@pytest.mark.parametrize("kind", ["output", "temp"])
@pytest.mark.parametrize("subfolder", [FOLDER, f"{FOLDER}/sub", f"{FOLDER}\\sub", f"./{FOLDER}/"])
def test_file_in_the_attempt_folder_is_an_output_without_a_lookup(kind: str, subfolder: str) -> None:
    entry = {"outputs": {"1": {"images": [{"filename": "a.png", "subfolder": subfolder, "type": kind}]}}}
    (found,) = collect_outputs(entry, {"1": {}})
    assert (found.filename, found.subfolder, found.folder, found.content) == ("a.png", subfolder, kind, None)
    assert list_unproven_files(entry, FileOwnership(FOLDER)) == UnprovenFiles((), (), ())


def test_string_can_name_a_file_in_an_encoded_subfolder_of_the_attempt_folder() -> None:
    named = f"{FOLDER}/a~2e~2eb/mesh.glb"
    listed = list_unproven_files({"outputs": {"1": {"result": [named]}}}, FileOwnership(FOLDER))
    assert listed.of_strings[0][0] == NodeFilePath("output", f"{FOLDER}/a~2e~2eb", "mesh.glb")


def test_file_written_during_the_prompt_is_an_output() -> None:
    entry = {"outputs": {"1": {"images": [PREVIEW]}}}
    (path,) = list_unproven_files(entry, FileOwnership(FOLDER)).of_objects
    (found,) = collect_outputs(entry, {"1": {}}, {path: ModifiedTime(7)})
    assert (found.filename, found.temporary, found.modified) == (PREVIEW["filename"], True, ModifiedTime(7))


def test_json_output_hides_the_name_of_a_temporary_file() -> None:
    reported = {"image": {**PREVIEW, "fullpath": f"/srv/temp/{PREVIEW['filename']}"}, "score": 0.5}
    (found,) = collect_outputs({"outputs": {"1": {"found": [reported]}}}, {"1": {}})
    hidden = {**PREVIEW, "filename": "ComfyUI_temp_.png", "fullpath": "/srv/temp/ComfyUI_temp_.png"}
    assert found.content is not None
    assert json.loads(found.content) == {"image": hidden, "score": 0.5}


@pytest.mark.parametrize(
    ("filename", "text", "shown"),
    [
        ("a", "a" * 1_000_000, "a" * 1_000_000),
        ("a.png", "/srv/temp/a.png", "/srv/temp/a.png"),  # no random name is that short
        ("a" * 12, "a" * 996, "ComfyUI_temp_" * 83),
        ("a" * 12, "a" * 1_000_000, "ComfyUI_temp_"),
        ("a" * 12, "b" * 1_000_000, "b" * 1_000_000),
    ],
    ids=["short name", "short file name", "path", "long text", "other text"],
)
def test_hiding_a_temporary_name_does_not_multiply_the_size_of_an_output(filename: str, text: str, shown: str) -> None:
    reported = {"type": "temp", "filename": filename, "fullpath": text}
    (found,) = collect_outputs({"outputs": {"1": {"found": [reported]}}}, {"1": {}})
    assert found.content is not None
    hidden = json.loads(found.content)
    assert hidden["fullpath"] == shown
    assert hidden["filename"].startswith("ComfyUI_temp_")


CROP, PREVIEW_NODE = "2", "3"


def test_preview_that_a_node_reports_from_the_cache_is_no_output() -> None:
    """ComfyUI 0.33 reports previews of ImageCropV2 and Painter again when it takes their results from its cache."""
    entry = {
        "outputs": {
            PREVIEW_NODE: {"images": [{**PREVIEW, "filename": "ComfyUI_temp_fghij_00001_.png"}]},
            CROP: {"images": [PREVIEW], "animated": [False], "size": [512]},
        },
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", {"prompt_id": "p", "timestamp": 1_795_935_600_000}],
                ["execution_cached", {"nodes": ["1", CROP], "prompt_id": "p", "timestamp": 1_795_935_600_001}],
                ["execution_success", {"prompt_id": "p", "timestamp": 1_795_935_601_000}],
            ],
        },
    }
    graph = dict.fromkeys(["1", CROP, PREVIEW_NODE])
    (new,), _, (cached,) = list_unproven_files(entry, FileOwnership(FOLDER))
    assert cached.filename == PREVIEW["filename"]
    found = collect_outputs(entry, graph, {new: ModifiedTime(7)})
    assert [(item.node_id, item.key, item.filename) for item in found] == [
        (CROP, "size", ""),
        (PREVIEW_NODE, "images", new.filename),
    ]
    made_again = collect_outputs(entry, graph, {new: ModifiedTime(7), cached: ModifiedTime(7)})
    assert [item.filename for item in made_again] == [cached.filename, "", new.filename]


def test_file_of_the_output_folder_that_a_node_reports_from_the_cache_stays_json() -> None:
    saved = {"filename": "a.png", "subfolder": "", "type": "output"}
    entry = {
        "outputs": {CROP: {"images": [saved]}},
        "status": {"messages": [["execution_cached", {"nodes": [CROP]}]]},
    }
    (found,) = collect_outputs(entry, {CROP: {}})
    assert found.content is not None
    assert json.loads(found.content) == saved


def test_upload_that_a_node_reports_is_no_output() -> None:
    upload = {"filename": "0123.png", "subfolder": "comfyfleet", "type": "temp"}
    assert collect_outputs({"outputs": {"1": {"images": [upload]}}}, {"1": {}}) == []
