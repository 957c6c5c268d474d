from typing import Any
from uuid import uuid4

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler import AttemptRef
from executor.domain.catalog import NodeClasses
from executor.domain.staging import MAX_PREFIX, stage

FILES = {"0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee": "comfyfleet/a.png [temp]"}
(UPLOAD,) = FILES
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=2, lease_token=uuid4())
FOLDER = f"{REF.job_id}/2"


def spec(module: str = "nodes", *names: str, shows: bool = True, optional: tuple[str, ...] = ()) -> ClassSpec:
    inputs = {name: InputSpec(type="STRING", required=name not in optional) for name in (*names, *optional)}
    return ClassSpec(inputs=inputs, outputs=(), output_node=shows, module=module)


CLASSES = NodeClasses(
    {
        "SaveImage": spec("nodes", "filename_prefix"),
        "PreviewAny": spec("nodes", shows=True),
        "PreviewAudio": spec("comfy_extras.nodes_audio"),
        "ImageInvert": spec("nodes", shows=False),
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
    },
    flexible=frozenset({"PackFlexible"}),
)


def inputs_of(class_type: str, **inputs: Any) -> dict[str, Any]:
    graph = {"3": {"class_type": class_type, "inputs": inputs}}
    staged: dict[str, Any] = stage(graph, REF, FILES, CLASSES)["3"]["inputs"]
    assert graph["3"]["inputs"] is inputs
    return staged


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ("img", "img"),
        ("hello/img", "img"),
        ("..\\..\\evil", "evil"),
        ("../../", "ComfyUI"),
        ("..", "ComfyUI"),
        ("", "ComfyUI"),
        ("a\x00b\nc", "a_b_c"),
        ("\ud800", "_"),
        ("%year%-%width%", "%year%-%width%"),
        ("x%batch_num%", "x"),
        ("日本", "__"),
        ("x" * 500, "x" * MAX_PREFIX),
        (["1", 0], "ComfyUI"),
        (7, "ComfyUI"),
        (None, "ComfyUI"),
        (True, "ComfyUI"),
        ([], "ComfyUI"),
        ({"__value__": "checkpoints/00-evil"}, "00-evil"),
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
def test_output_name_is_a_text_in_the_folder_of_the_attempt(class_type: str, name: str, sent: Any, last: str) -> None:
    assert inputs_of(class_type, **{name: sent})[name] == f"{FOLDER}/{last}"


def test_files_in_a_named_folder_need_no_folder_of_their_own() -> None:
    staged = inputs_of("SaveImageDataSetToFolder", folder_name="../cats", filename_prefix="a/b")
    assert staged == {"folder_name": f"{FOLDER}/cats", "filename_prefix": "b"}


def test_output_name_that_was_left_out_is_set_too() -> None:
    assert inputs_of("PackSave", images=["1", 0]) == {
        "images": ["1", 0],
        "output_path": f"{FOLDER}/ComfyUI",
    }
    assert inputs_of("PackSave", filename_delimiter="/")["filename_delimiter"] == "ComfyUI"


def test_upload_goes_by_the_name_that_the_node_has_for_it() -> None:
    assert inputs_of("ImageInvert", image=UPLOAD) == {"image": "comfyfleet/a.png [temp]"}
    assert inputs_of("ImageInvert", image=f"x{UPLOAD}") == {"image": f"x{UPLOAD}"}
    record = {"image": UPLOAD, "recording": "", "camera_info": None}
    assert inputs_of("Load3D", image=record) == {"image": {**record, "image": "comfyfleet/a.png [temp]"}}


def test_links_and_everything_else_stay() -> None:
    node = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0], "text": "a/b"}, "_meta": {"title": "t"}}
    assert stage({"1": node}, REF, FILES, CLASSES) == {"1": node}


@pytest.mark.parametrize("shown", ["PreviewAny", "PreviewAudio", "Unheard"])
def test_output_without_a_name_is_of_its_attempt_alone(shown: str) -> None:
    once = inputs_of(shown, images=["1", 0])
    assert once == {"images": ["1", 0], "filename_prefix": f"{FOLDER}/ComfyUI"}
    other = REF.model_copy(update={"attempt": 1})
    again = stage({"3": {"class_type": shown, "inputs": {"images": ["1", 0]}}}, other, FILES, CLASSES)["3"]["inputs"]
    assert again != once


def test_class_that_may_take_any_input_is_given_none() -> None:
    assert inputs_of("PackFlexible", images=["1", 0]) == {"images": ["1", 0]}
