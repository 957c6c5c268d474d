"""Uploads must be of a kind that their input takes."""

from typing import Any

import pytest

from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.file_kinds import check_file_kinds
from tests.kit.catalogs import build_catalog

UPLOAD = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
SOUND, VIDEO, IMAGE, LATENT = "audio/wav", "video/mp4", "image/png", "application/x-safetensors"


def catalog(class_type: str, name: str, module: str) -> Catalog:
    kind = ["LOAD_3D", {}] if class_type == "Load3D" else [["a.bin"], {}]
    described = {"input": {"required": {name: kind}}, "output": ["*"], "output_node": True, "python_module": module}
    return build_catalog({class_type: described})


def messages(class_type: str, name: str, value: Any, media_type: str, module: str = "nodes") -> list[str]:
    graph, errors = read_graph({"1": {"class_type": class_type, "inputs": {name: value}}})
    assert not errors
    found = check_file_kinds(graph, catalog(class_type, name, module), {UPLOAD: media_type})
    return [f"{one.node_id}.{one.input} {one.fault.code}: {one.fault.message}" for one in found]


@pytest.mark.parametrize(
    ("class_type", "name", "media_type"),
    [
        ("LoadImage", "image", IMAGE),
        ("LoadImage", "image", "image/x-exr"),
        ("LoadAudio", "audio", SOUND),
        ("LoadAudio", "audio", VIDEO),
        ("LoadVideo", "file", VIDEO),
        ("LoadLatent", "latent", LATENT),
        ("Load3DAdvanced", "model_file", "model/gltf-binary"),
        ("LoadImage", "image", "text/plain"),
    ],
)
def test_upload_of_a_matching_or_unknown_kind_is_accepted(class_type: str, name: str, media_type: str) -> None:
    assert not messages(class_type, name, UPLOAD, media_type)


def test_stock_loader_refuses_an_upload_of_another_kind() -> None:
    (message,) = messages("LoadImage", "image", UPLOAD, SOUND)
    assert message == (
        "1.image upload_of_wrong_kind: LoadImage.image takes an image, and this upload is a sound (audio/wav). "
        "Use an upload that is an image."
    )
    (message,) = messages("LoadAudio", "audio", UPLOAD, LATENT)
    assert "takes a video or a sound, and this upload is a latent" in message
    assert messages("LoadVideo", "file", UPLOAD, IMAGE)
    assert messages("LoadLatent", "latent", UPLOAD, VIDEO)


def test_each_part_of_an_object_input_is_checked() -> None:
    parts = {"image": UPLOAD, "recording": ""}
    assert not messages("Load3D", "image", parts, IMAGE)
    (message,) = messages("Load3D", "image", parts, VIDEO)
    assert message.startswith("1.image upload_of_wrong_kind: Load3D.image.image takes an image,")


def test_kind_of_a_custom_input_is_derived_from_its_name() -> None:
    pack = "custom_nodes.ComfyUI-VideoHelperSuite"
    assert messages("VHS_LoadVideo", "video", UPLOAD, SOUND, pack)
    assert not messages("VHS_LoadVideo", "video", UPLOAD, VIDEO, pack)
    assert not messages("VHS_LoadAudioUpload", "audio", UPLOAD, SOUND, pack)
    assert messages("Loader", "refImage2", UPLOAD, SOUND, pack)
    assert not messages("Loader", "source", UPLOAD, SOUND, pack)
