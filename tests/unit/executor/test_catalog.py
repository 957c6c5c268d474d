"""Catalogs in ComfyUI 0.33's formats, shortened."""

import base64
import hashlib
import json
import zlib
from typing import Any

from contracts.catalog import ClassSpec
from contracts.workflow import GraphNode
from executor.domain.catalog import (
    MAX_DEPTH,
    MAX_INPUTS,
    NodeClasses,
    build_catalog_report,
    find_classes_keeping_png_info,
    find_classes_with_undeclared_inputs,
    parse_catalog,
)
from executor.domain.extra_data import filter_extra_data


def described(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    sections = {"required": required, "hidden": {"prompt": "PROMPT"}} | ({"optional": optional} if optional else {})
    return {"X": {"input": sections, "output": ["IMAGE"], "output_node": True, "category": "a", **more}}


def inputs(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    return parse_catalog(described(required, optional))["X"].inputs


def test_both_declarations_of_combo_inputs_are_read() -> None:
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


def test_dynamic_inputs_keep_their_declared_options() -> None:
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
    assert (named.names, named.required) == (("a", "b"), 0)  # none of an optional template's inputs are required
    assert read["broken"].grown is None


def test_nested_dynamic_inputs_are_read_to_a_bounded_depth() -> None:
    described: Any = ["INT", {}]
    for _ in range(50):
        described = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"x": described}}}]}]
    spec, depth = inputs({"x": described})["x"], 0
    while spec.variants is not None:
        spec, depth = spec.variants["k"]["x"], depth + 1
    assert depth == MAX_DEPTH


def test_upload_inputs_accept_any_file_name() -> None:
    read = inputs({
        "image": [["old.png"], {"image_upload": True}],
        "audio": ["COMBO", {"multiselect": False, "options": [], "audio_upload": True}],
        "file": ["COMBO", {"options": [], "video_upload": True}],
        "model_file": ["COMBO", {"options": ["none"], "file_upload": True}],
    })  # fmt: skip
    assert all(spec.upload and spec.options is None for spec in read.values())


def test_numeric_bounds_and_optional_inputs_are_read() -> None:
    read = inputs({"seed": ["INT", {"min": 0, "max": 2**64 - 1}]}, {"mask": ["MASK"], "odd": ["FLOAT", {"min": "a"}]})
    assert (read["seed"].min, read["seed"].max, read["seed"].required) == (0, 2**64 - 1, True)
    assert (read["mask"].type, read["mask"].required) == ("MASK", False)
    assert read["odd"].min is None
    assert "prompt" not in read


def test_malformed_class_declarations_are_skipped() -> None:
    assert parse_catalog({"X": None, "Y": {"input": None}}) == {}
    assert parse_catalog([]) == {}
    assert inputs({"broken": None, "bare": "INT"}) == {}


def test_catalog_digest_covers_exactly_the_reported_content() -> None:
    order = {"required": ["a", "b"]}
    first = described({"a": ["INT", {"min": 1}], "b": ["MASK"]}, display_name="one", input_order=order)
    second = described({"b": ["MASK"], "a": ["INT", {"min": 1}]}, display_name="two", input_order=order)
    one, two = build_catalog_report(parse_catalog(first)), build_catalog_report(parse_catalog(second))
    assert one == two
    text = zlib.decompress(base64.b64decode(one.classes_zlib))
    assert hashlib.sha256(text).hexdigest() == one.digest
    assert (
        ClassSpec.model_validate(json.loads(text)["X"])
        == parse_catalog(described({"a": ["INT", {"min": 1}], "b": ["MASK"]}))["X"]
    )
    assert build_catalog_report(parse_catalog(described({"a": ["INT", {"min": 2}]}))).digest != one.digest


def test_names_that_no_graph_can_contain_are_skipped() -> None:
    unfit = "a\x00\ud800"
    described = {
        unfit: {"input": {}},
        "x" * 301: {"input": {}},
        "X": {
            "input": {"required": {unfit: ["INT"], "a": [["good", unfit, "caf\udce9", 10**300, float("inf"), 2**63]]}}
        },
    }
    (name,) = read = parse_catalog(described)
    assert name == "X"
    assert list(read["X"].inputs) == ["a"]
    assert read["X"].inputs["a"].options == ("good", 2**63)
    build_catalog_report(read).model_dump_json().encode()


def test_numeric_bounds_with_hundreds_of_digits_are_ignored() -> None:
    spec = inputs({"a": ["INT", {"min": -(10**400), "max": 10**400}]})["a"]
    assert (spec.min, spec.max) == (None, None)


def test_oversized_catalog_drops_options_but_keeps_every_class() -> None:
    options = [f"{number:0250}" for number in range(50_000)]
    described = {f"C{number}": {"input": {"required": {"a": [options]}}} for number in range(4)}
    packed = build_catalog_report(parse_catalog(described))
    body = zlib.decompress(base64.b64decode(packed.classes_zlib))
    assert len(body) <= 30 << 20
    told = json.loads(body)
    assert set(told) == set(described)
    assert len(told["C0"]["inputs"]["a"]["options"]) == 10_000


def test_number_of_catalog_classes_is_bounded() -> None:
    assert len(parse_catalog({str(number): {"input": {}} for number in range(30_000)})) == 20_000


JOB = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"


def test_options_that_name_tenant_files_are_omitted() -> None:
    stock: dict[str, Any] = {"python_module": "comfy_extras.nodes_dataset"}
    folders = ["3d", "comfyfleet", "a/comfyfleet", JOB, f"{JOB}/1", "cats"]
    models = ["a.safetensors", f"{JOB}/1/evil.safetensors", f"sub\\{JOB}\\1\\evil.safetensors", "00-evil.safetensors"]
    info = {
        "LoadImageDataSetFromFolder": described({"folder": ["COMBO", {"options": folders}]}, **stock)["X"],
        "CheckpointLoaderSimple": described({"ckpt_name": [models]}, python_module="nodes")["X"],
        "LoadLatent": described({"latent": [["other.latent"]]}, python_module="nodes")["X"],
        "Pack": described({"clip": [["other.mp4"]], "style": [["a", "b"]]}, python_module="custom_nodes.pack")["X"],
    }
    read = parse_catalog(info, frozenset({"00-evil.safetensors"}))
    assert read["LoadImageDataSetFromFolder"].inputs["folder"].options == ("3d", "cats")
    assert read["CheckpointLoaderSimple"].inputs["ckpt_name"].options == ("a.safetensors",)
    for spec in (read["LoadLatent"].inputs["latent"], read["Pack"].inputs["clip"]):
        assert (spec.options, spec.upload) == (None, True)
    assert read["Pack"].inputs["style"].options == ("a", "b")


def test_pack_class_with_empty_optional_inputs_may_take_any_name() -> None:
    info = {
        name: described({"a": ["IMAGE"]}, python_module=module)["X"]
        for name, module in (("Pack", "custom_nodes.pack"), ("Stock", "nodes"), ("Fixed", "custom_nodes.pack"))
    }
    info["Pack"]["input"]["optional"] = info["Stock"]["input"]["optional"] = {}
    info["Fixed"]["input"]["optional"] = {"mask": ["MASK"]}
    assert find_classes_with_undeclared_inputs(info) == {"Pack"}


def test_tenant_files_inside_dynamic_inputs_are_omitted() -> None:
    picture = [["other.png"], {"image_upload": True, "default": "other.png"}]
    choice = {"key": "own", "inputs": {"required": {"picture": picture}}}
    grown = {"template": {"input": {"required": {"clip": [["other.mp4"]]}}, "prefix": "clip", "min": 1, "max": 2}}
    dynamic = {"source": ["COMFY_DYNAMICCOMBO_V3", {"options": [choice]}], "clips": ["COMFY_AUTOGROW_V3", grown]}
    read = parse_catalog(described(dynamic, python_module="custom_nodes.pack"))["X"].inputs
    assert read["source"].variants is not None
    assert read["clips"].grown is not None
    for spec in (read["source"].variants["own"]["picture"], read["clips"].grown.input):
        assert (spec.options, spec.upload, spec.default) == (None, True, None)


def test_number_of_inputs_per_class_is_bounded_including_dynamic_inputs() -> None:
    inner = {str(number): ["INT"] for number in range(MAX_INPUTS)}
    options = [{"key": key, "inputs": {"required": inner}} for key in "ab"]
    read = parse_catalog(described({"a": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}))["X"].inputs
    assert read["a"].variants is None


def test_catalog_contains_the_declarations_needed_to_convert_editor_files() -> None:
    described_class = described(
        {
            "steps": ["INT", {"forceInput": True}],
            "seed": ["INT", {}],
            "noise_seed": ["INT", {"control_after_generate": False}],
            "text": ["STRING", {"dynamicPrompts": True}],
            "rate": ["FLOAT,INT", {"widgetType": "FLOAT"}],
            "kind": [
                "COMFY_DYNAMICCOMBO_V3",
                {"options": [{"key": "a", "inputs": {"required": {"seed": ["INT", {}]}}}]},
            ],
        },
        {"style": [["x"], {"control_after_generate": True}]},
        input_order={"required": ["text", "seed", "gone"], "optional": ["style"]},
    )
    read = parse_catalog(described_class)["X"].inputs
    assert sorted(read, key=lambda name: read[name].position) == [
        "text", "seed", "steps", "noise_seed", "rate", "kind", "style",
    ]  # fmt: skip
    assert {name for name, spec in read.items() if spec.controlled} == {"seed", "style"}
    assert {name for name, spec in read.items() if spec.only_linked} == {"steps"}
    assert {name for name, spec in read.items() if spec.dynamic_prompts} == {"text"}
    assert read["rate"].widget == "FLOAT"
    assert read["kind"].variants is not None
    assert not read["kind"].variants["a"]["seed"].controlled


def test_classes_that_may_embed_job_metadata_are_detected() -> None:
    info = {
        name: described({"a": ["IMAGE"]}, python_module="custom_nodes.pack", output_node=is_output_class)["X"]
        for name, is_output_class in (
            ("Reads", False),
            ("Saves", True),
            ("Any", True),
            ("Other", False),
            ("Listed", False),
        )
    }
    for name in ("Reads", "Saves", "Any"):
        info[name]["input"]["hidden"] = {"extra": "EXTRA_PNGINFO"}
    info["Listed"]["input"]["hidden"] = {"extra": ["EXTRA_PNGINFO"]}
    info["Any"]["input"]["optional"] = {}
    assert find_classes_keeping_png_info(info) == {"Reads", "Any", "Listed"}


def test_metadata_is_withheld_when_a_cached_result_could_keep_it() -> None:
    keeping = {"1": GraphNode("Reads", {}), "2": GraphNode("Saves", {})}
    classes = NodeClasses({}, keeping_png_info=frozenset({"Reads"}))
    sent = {"extra_pnginfo": {"workflow": {}}, "preview_method": "none"}
    assert filter_extra_data(keeping, sent, classes) == {"preview_method": "none"}
    assert filter_extra_data(keeping, {"extra_pnginfo": {}}, classes) is None
    assert filter_extra_data({"2": keeping["2"]}, sent, classes) == sent
    assert filter_extra_data(keeping, None, classes) is None
