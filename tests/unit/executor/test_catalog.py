"""The shapes are ComfyUI 0.33's own, shortened."""

import base64
import hashlib
import json
import zlib
from typing import Any

from contracts.catalog import ClassSpec
from executor.domain.catalog import MAX_DEPTH, read_catalog, report


def described(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    sections = {"required": required, "hidden": {"prompt": "PROMPT"}} | ({"optional": optional} if optional else {})
    return {"X": {"input": sections, "output": ["IMAGE"], "output_node": True, "category": "a", **more}}


def inputs(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    return read_catalog(described(required, optional))["X"].inputs


def test_both_kinds_of_combo() -> None:
    read = inputs({
        "v1": [["euler", "heun"], {"tooltip": "which"}],
        "bare": [["a", "b"]],
        "v3": ["COMBO", {"multiselect": False, "options": ["x", "-x", 3]}],
        "empty": [[]],
        "many": ["COMBO", {"multiselect": True, "options": ["x"]}],
        "remote": ["COMBO", {"remote": {"route": "/internal/files/output"}}],
        "nested": [["gif", ["mp4", {"crf": 1}]]],
        "dynamic": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "scale", "inputs": {}}]}],
    })  # fmt: skip
    assert (read["v1"].type, read["v1"].options) == ("COMBO", ("euler", "heun"))
    assert read["bare"].options == ("a", "b")
    assert (read["v3"].type, read["v3"].options) == ("COMBO", ("x", "-x", 3))
    assert read["empty"].options == ()
    assert (read["many"].options, read["many"].multiselect) == (("x",), True)
    assert read["remote"].options is None
    assert read["nested"].options is None
    assert (read["dynamic"].type, read["dynamic"].options) == ("COMFY_DYNAMICCOMBO_V3", None)


def test_dynamic_inputs_keep_what_they_become() -> None:
    read = inputs({
        "format": ["COMFY_DYNAMICCOMBO_V3", {"options": [
            {"key": "png", "inputs": {"required": {"depth": ["COMBO", {"options": ["8", "16"]}]}}},
            {"key": "exr", "inputs": {"required": {}, "optional": {"gain": ["FLOAT", {"min": 0.5}]}}},
            "broken", {"key": 5, "inputs": {}},
        ]}],
        "images": ["COMFY_AUTOGROW_V3", {"template": {
            "input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 3}}],
        "named": ["COMFY_AUTOGROW_V3", {"template": {
            "input": {"required": {}, "optional": {"x": ["MASK", {}]}}, "names": ["a", "b"], "min": 2}}],
        "broken": ["COMFY_AUTOGROW_V3", {"template": {"input": {}, "prefix": "x"}}],
    })  # fmt: skip
    variants = read["format"].variants
    assert variants is not None
    assert variants["png"]["depth"].options == ("8", "16")
    assert (variants["exr"]["gain"].min, variants["exr"]["gain"].required) == (0.5, False)
    assert set(variants) == {"png", "exr"}
    images, named = read["images"].grown, read["named"].grown
    assert images is not None
    assert (images.names, images.required, images.input.type) == (("image0", "image1", "image2"), 1, "IMAGE")
    assert named is not None
    assert (named.names, named.required) == (("a", "b"), 0)  # an optional template asks for none of them
    assert read["broken"].grown is None


def test_dynamic_inputs_inside_each_other_are_read_to_a_bounded_depth() -> None:
    described: Any = ["INT", {}]
    for _ in range(50):
        described = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"x": described}}}]}]
    spec, depth = inputs({"x": described})["x"], 0
    while spec.variants is not None:
        spec, depth = spec.variants["k"]["x"], depth + 1
    assert depth == MAX_DEPTH


def test_uploads_take_any_name() -> None:
    read = inputs({
        "image": [["old.png"], {"image_upload": True}],
        "audio": ["COMBO", {"multiselect": False, "options": [], "audio_upload": True}],
        "file": ["COMBO", {"options": [], "video_upload": True}],
        "model_file": ["COMBO", {"options": ["none"], "file_upload": True}],
    })  # fmt: skip
    assert all(spec.upload and spec.options is None for spec in read.values())


def test_bounds_and_optional_inputs() -> None:
    read = inputs({"seed": ["INT", {"min": 0, "max": 2**64 - 1}]}, {"mask": ["MASK"], "odd": ["FLOAT", {"min": "a"}]})
    assert (read["seed"].min, read["seed"].max, read["seed"].required) == (0, 2**64 - 1, True)
    assert (read["mask"].type, read["mask"].required) == ("MASK", False)
    assert read["odd"].min is None
    assert "prompt" not in read


def test_what_makes_no_sense_is_left_out() -> None:
    assert read_catalog({"X": None, "Y": {"input": None}}) == {}
    assert read_catalog([]) == {}
    assert inputs({"broken": None, "bare": "INT"}) == {}


def test_the_digest_is_of_what_travels_and_of_nothing_else() -> None:
    one = report(read_catalog(described({"a": ["INT", {"min": 1}], "b": ["MASK"]}, display_name="one")))
    two = report(read_catalog(described({"b": ["MASK"], "a": ["INT", {"min": 1}]}, display_name="two")))
    assert one == two
    text = zlib.decompress(base64.b64decode(one.classes_zlib))
    assert hashlib.sha256(text).hexdigest() == one.digest
    assert (
        ClassSpec.model_validate(json.loads(text)["X"])
        == read_catalog(described({"a": ["INT", {"min": 1}], "b": ["MASK"]}))["X"]
    )
    assert report(read_catalog(described({"a": ["INT", {"min": 2}]}))).digest != one.digest
