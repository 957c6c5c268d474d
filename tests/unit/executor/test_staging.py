from typing import Any
from uuid import uuid4

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler.attempts import AttemptRef
from executor.domain.catalog import NodeClasses
from executor.domain.staging import MARKER_INPUT, stage_graph

FILES = {"0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee": "comfyfleet/a.png [temp]"}
(UPLOAD,) = FILES
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=2, lease_token=uuid4())
FOLDER = f"{REF.job_id}/2"


def spec(module: str = "nodes", *names: str, is_output_class: bool = True, optional: tuple[str, ...] = ()) -> ClassSpec:
    inputs = {name: InputSpec(type="STRING", required=name not in optional) for name in (*names, *optional)}
    return ClassSpec(inputs=inputs, outputs=(), output_node=is_output_class, module=module)


CLASSES = NodeClasses(
    {
        "SaveImage": spec("nodes", "filename_prefix"),
        "PreviewAny": spec("nodes", is_output_class=True),
        "PreviewAudio": spec("comfy_extras.nodes_audio"),
        "ImageInvert": spec("nodes", is_output_class=False),
        "SaveLoRA": spec("comfy_extras.nodes_train", "prefix"),
        "SaveImageDataSetToFolder": spec("comfy_extras.nodes_dataset", "folder_name", "filename_prefix"),
        "Load3D": ClassSpec(
            inputs={"image": InputSpec(type="LOAD_3D", required=True)},
            outputs=(),
            output_node=False,
            module="comfy_extras.nodes_load_3d",
        ),
        "PackSave": spec("custom_nodes.pack", "images", optional=("output_path", "filename_delimiter")),
        "PackFlexible": spec("custom_nodes.pack"),
        "PackShow": spec("custom_nodes.pack", "images"),
        "PackLoop": spec("custom_nodes.pack", "images", is_output_class=False),
        "PackFilter": spec("custom_nodes.pack", "image", is_output_class=False),
        "CheckpointLoaderSimple": ClassSpec(
            inputs={"ckpt_name": InputSpec(type="COMBO", required=True, options=("a.safetensors",))},
            outputs=("MODEL",),
            output_node=False,
            module="nodes",
        ),
    },
    with_undeclared_inputs=frozenset({"PackFlexible"}),
)


def inputs_of(class_type: str, **inputs: Any) -> dict[str, Any]:
    graph = {"3": {"class_type": class_type, "inputs": inputs}}
    staged: dict[str, Any] = stage_graph(graph, REF, FILES, CLASSES)["3"]["inputs"]
    assert graph["3"]["inputs"] is inputs
    return staged


@pytest.mark.parametrize(
    ("sent", "placed"),
    [
        ("img", "img"),
        ("hello/img", "hello/img"),
        ("..\\..\\evil", "evil"),
        ("../../", "ComfyUI"),
        ("..", "ComfyUI"),
        ("", "ComfyUI"),
        ("a cat... at night", "a cat~2e~2e~2e at night"),
        ("\ud800", "_"),
        ("%year%-%width%", "%year%-%width%"),
        ("日本", "日本"),
        (["1", 0], "ComfyUI"),
        (7, "7"),
        (None, "ComfyUI"),
        (True, "ComfyUI"),
        ([], "ComfyUI"),
        ({"__value__": "checkpoints/00-evil"}, "checkpoints/00-evil"),
        ({"__value__": ["1", 0]}, "ComfyUI"),
        ({"__value__": {"__value__": "../x"}}, "ComfyUI"),
        ({"a": "b"}, "ComfyUI"),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    ("class_type", "name"),
    [
        ("SaveImage", "filename_prefix"),
        ("SaveLoRA", "prefix"),
        ("SaveImageDataSetToFolder", "folder_name"),
        ("PackSave", "output_path"),
        ("PreviewAny", "format.filename_prefix"),
        ("Unheard", "filename_prefix"),
    ],
)
def test_output_prefix_is_placed_in_the_attempt_folder(class_type: str, name: str, sent: Any, placed: str) -> None:
    assert inputs_of(class_type, **{name: sent})[name] == f"{FOLDER}/{placed}"


def test_linked_output_prefix_is_used_when_constant() -> None:
    graph = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "../cat"}},
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["1", 0]}},
    }
    assert stage_graph(graph, REF, FILES, CLASSES)["2"]["inputs"] == {"filename_prefix": f"{FOLDER}/cat"}


def test_output_in_a_named_folder_needs_no_attempt_folder() -> None:
    staged = inputs_of("SaveImageDataSetToFolder", folder_name="../cats", filename_prefix="a/b")
    assert staged == {"folder_name": f"{FOLDER}/cats", "filename_prefix": "b"}


def test_omitted_output_prefix_is_set() -> None:
    assert inputs_of("PackSave", images=["1", 0]) == {
        "images": ["1", 0],
        "output_path": f"{FOLDER}/ComfyUI",
    }
    assert inputs_of("PackSave", filename_delimiter="/")["filename_delimiter"] == "_"


def test_upload_input_is_replaced_by_the_staged_file_name() -> None:
    assert inputs_of("ImageInvert", image=UPLOAD) == {"image": "comfyfleet/a.png [temp]"}
    assert inputs_of("ImageInvert", image=f"x{UPLOAD}") == {"image": f"x{UPLOAD}"}
    record = {"image": UPLOAD, "recording": "", "camera_info": None}
    assert inputs_of("Load3D", image=record) == {"image": {**record, "image": "comfyfleet/a.png [temp]"}}


def test_links_and_other_inputs_stay_unchanged() -> None:
    node = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0], "text": "a/b"}, "_meta": {"title": "t"}}
    assert stage_graph({"1": node}, REF, FILES, CLASSES) == {"1": node}


def graph_of(class_type: str, *before: str) -> dict[str, Any]:
    """Return a chain of nodes: the last has this class, and each is linked to the one before."""
    classes = [*before, class_type]
    return {
        str(place): {"class_type": name, "inputs": {"images": [str(place - 1), 0]} if place else {}}
        for place, name in enumerate(classes)
    }


def marked(graph: dict[str, Any], expanding: frozenset[str] = frozenset()) -> set[str]:
    staged = stage_graph(graph, REF, FILES, CLASSES, expanding)
    assert {node["inputs"].get(MARKER_INPUT, FOLDER) for node in staged.values()} == {FOLDER}
    return {node_id for node_id, node in staged.items() if MARKER_INPUT in node["inputs"]}


@pytest.mark.parametrize("shown", ["PreviewAny", "PreviewAudio", "Unheard"])
def test_output_node_without_filename_prefix_gets_an_attempt_marker(shown: str) -> None:
    once = inputs_of(shown, text="a")
    assert once == {"text": "a", MARKER_INPUT: FOLDER}
    other = REF.model_copy(update={"attempt": 1})
    again = stage_graph({"3": {"class_type": shown, "inputs": {"text": "a"}}}, other, FILES, CLASSES)["3"]["inputs"]
    assert again != once


def test_class_without_a_filename_prefix_input_gets_no_prefix() -> None:
    for class_type in ("PreviewAny", "PackShow", "PackFlexible", "ImageInvert"):
        staged = stage_graph(graph_of(class_type, "ImageInvert"), REF, FILES, CLASSES)
        assert not any("filename_prefix" in node["inputs"] for node in staged.values())


def test_pack_output_is_marked_through_the_nearest_stock_node() -> None:
    assert marked(graph_of("PackShow", "ImageInvert", "ImageInvert")) == {"1"}
    assert marked(graph_of("PackShow", "ImageInvert", "PackFilter")) == {"0"}
    assert marked(graph_of("PackFlexible", "ImageInvert")) == {"0"}


def test_attempt_marker_does_not_reload_a_model() -> None:
    assert marked(graph_of("PackShow", "CheckpointLoaderSimple")) == {"1"}
    assert marked(graph_of("PackShow", "CheckpointLoaderSimple", "ImageInvert")) == {"1"}


def test_class_with_undeclared_inputs_gets_no_prefix() -> None:
    assert marked(graph_of("PackFlexible", "PackFilter")) == set()


def test_expanding_class_is_never_served_from_the_cache() -> None:
    graph = graph_of("SaveImage", "ImageInvert", "PackLoop")
    assert marked(graph) == set()
    assert marked(graph, frozenset({"PackLoop"})) == {"0"}


def test_cyclic_nodes_are_marked_once() -> None:
    graph = {
        "1": {"class_type": "PackShow", "inputs": {"images": ["2", 0]}},
        "2": {"class_type": "PackFilter", "inputs": {"image": ["1", 0]}},
    }
    assert marked(graph) == {"1"}
