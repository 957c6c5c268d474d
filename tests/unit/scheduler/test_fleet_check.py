"""Checks workflows against a fleet of different nodes."""

from typing import Any

import pytest

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.graph_size.analysis import measure_graph
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.wire.errors import FieldError
from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import UnrunnableGraph, check_fleet
from scheduler.domain.validation.graph_check import GraphCheckResult
from tests.kit.catalogs import build_catalog, simulated_catalog

IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}
MINE = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
MODELS = tuple(f"model_{number:03}.safetensors" for number in range(106))
LARGE = simulated_catalog(*MODELS, "zz/detail.safetensors")
SMALL = simulated_catalog("only.safetensors", without=frozenset({"ImageBlur"}))
NO_MODELS = build_catalog(
    {
        "CheckpointLoaderSimple": {
            "input": {"required": {"ckpt_name": [[]]}},
            "output": ["MODEL", "CLIP", "VAE"],
            "output_node": False,
            "python_module": "nodes",
        },
        "PreviewAny": {
            "input": {"required": {"source": ["*"]}},
            "output": [],
            "output_node": True,
            "python_module": "comfy_extras.nodes_preview_any",
        },
    }
)


OPEN, STRICT = TenantPolicy(mode=GraphPolicy.OPEN), TenantPolicy()


def run(
    raw: dict[str, Any],
    *catalogs: Catalog,
    uploads: frozenset[str] = frozenset({MINE}),
    policy: TenantPolicy = OPEN,
) -> GraphCheckResult:
    graph, errors = read_graph(raw)
    assert not errors
    found = check_fleet(graph, uploads, catalogs, policy=policy, draw_seed=lambda _: 1)
    if isinstance(found, UnrunnableGraph):
        raise found.build_refusal()
    return found.check_result


def errors_of(raw: dict[str, Any], *catalogs: Catalog) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidWorkflow) as caught:
        run(raw, *catalogs)
    return caught.value.details.errors


def loaded(name: str) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


def test_empty_fleet_is_reported_as_no_fleet() -> None:
    with pytest.raises(EmptyFleet):
        run({"1": IMAGE, "2": SAVE})


def test_missing_model_lists_similar_models_first() -> None:
    (error,) = errors_of(loaded("detail.safetensors"), LARGE)
    assert error.message == (
        'CheckpointLoaderSimple.ckpt_name is "detail.safetensors", which no ComfyUI server of the fleet has. '
        'Nearest: "zz/detail.safetensors". GET /api/v1/models lists the 106 others.'
    )
    assert error.allowed == ("zz/detail.safetensors",)
    assert (error.pointer, error.node_id, error.input) == ("/workflow/1/inputs/ckpt_name", "1", "ckpt_name")


def test_short_list_of_options_is_complete_and_similar_first() -> None:
    few = simulated_catalog("a.safetensors", "b.safetensors", "portrait.safetensors")
    (error,) = errors_of(loaded("portait.safetensors"), few)
    assert error.allowed is not None
    assert error.allowed[0] == "portrait.safetensors"
    assert set(error.allowed) == {"a.safetensors", "b.safetensors", "portrait.safetensors"}
    assert error.message.endswith('Valid: "portrait.safetensors", "a.safetensors", "b.safetensors".')


def test_path_separator_of_another_operating_system_is_accepted() -> None:
    verdict = run(loaded("zz\\detail.safetensors"), LARGE, policy=STRICT)
    assert verdict.graph["1"].inputs == {"ckpt_name": "zz/detail.safetensors"}


def test_unknown_name_without_a_similar_one_refers_to_the_full_list() -> None:
    (error,) = errors_of(loaded("qqqq.safetensors"), LARGE)
    assert error.message.endswith("GET /api/v1/models lists all 107.")
    assert not error.allowed


def test_missing_class_suggests_a_similar_class() -> None:
    (error,) = errors_of({"1": {**IMAGE, "class_type": "EmptyImag"}, "2": SAVE}, LARGE)
    assert error.message.startswith('No ComfyUI server of the fleet has the class "EmptyImag". Nearest: "EmptyImage"')
    assert error.allowed is not None
    assert error.allowed[0] == "EmptyImage"
    assert error.pointer == "/workflow/1/class_type"


@pytest.mark.parametrize("order", [(LARGE, SMALL), (SMALL, LARGE)])
def test_mixed_fleet_reports_the_error_of_the_node_that_has_the_class(order: tuple[Catalog, Catalog]) -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": None, "sigma": 1.0}}
    raw = {"1": IMAGE, "3": blur, "2": {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": "a"}}}
    (error,) = errors_of(raw, *order)
    assert (error.code, error.node_id, error.input) == ("required_input_missing", "3", "blur_radius")


@pytest.mark.parametrize("reverse", [False, True])
def test_valid_models_are_those_of_all_nodes(reverse: bool) -> None:
    fleet = [simulated_catalog("a.safetensors"), simulated_catalog("b.safetensors", "a.safetensors"), NO_MODELS]
    (error,) = errors_of(loaded("gone.safetensors"), *(reversed(fleet) if reverse else fleet))
    assert set(error.allowed or ()) == {"a.safetensors", "b.safetensors"}
    assert "which no ComfyUI server of the fleet has." in error.message


def test_missing_model_on_a_fleet_without_models_is_reported_as_such() -> None:
    (error,) = errors_of(loaded("gone.safetensors"), NO_MODELS)
    assert "no ComfyUI server of the fleet has any file for it" in error.message


def test_missing_model_lists_those_of_other_nodes_if_the_closest_node_has_none() -> None:
    other = simulated_catalog("a.safetensors", "b.safetensors", without=frozenset({"PreviewAny"}))
    (error,) = errors_of(loaded("gone.safetensors"), NO_MODELS, other)
    assert error.message == (
        'CheckpointLoaderSimple.ckpt_name is "gone.safetensors", which no ComfyUI server of the fleet has. '
        'Valid: "a.safetensors", "b.safetensors".'
    )


def test_number_of_valid_models_in_a_refusal_includes_all_nodes() -> None:
    (error,) = errors_of(loaded("qqqq.safetensors"), SMALL, LARGE)
    assert error.message.endswith("GET /api/v1/models lists all 108.")
    assert not error.allowed


def test_similar_model_and_class_of_another_node_are_suggested() -> None:
    (error,) = errors_of(loaded("onli.safetensors"), LARGE, SMALL)
    assert error.allowed == ("only.safetensors",)
    (error,) = errors_of({"1": {**IMAGE, "class_type": "ImageBlurr"}, "2": SAVE}, SMALL, LARGE)
    assert (error.allowed or ("",))[0] == "ImageBlur"


def test_error_says_when_only_different_nodes_have_all_parts() -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": 1, "sigma": 1.0}}
    raw = {**loaded("only.safetensors"), "3": {**blur, "inputs": {**blur["inputs"], "image": ["4", 0]}}, "4": IMAGE}  # type: ignore[dict-item]
    raw["5"] = {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": "a"}}
    (error,) = errors_of(raw, LARGE, SMALL)
    assert error.message == (
        'CheckpointLoaderSimple.ckpt_name "only.safetensors" is on some ComfyUI servers of the fleet, but no server '
        "has everything that this workflow needs. Split the workflow."
    )


def test_node_that_lists_the_requested_option_is_preferred_to_one_that_does_not() -> None:
    def custom(*modes: str) -> Catalog:
        described = {"input": {"required": {"mode": [list(modes)]}}, "output": [], "output_node": True}
        return build_catalog({"Odd": {**described, "python_module": "custom_nodes.odd"}})

    raw = {"1": {"class_type": "Odd", "inputs": {"mode": "b"}}}
    assert run(raw, custom("a"), custom("a", "b")).needs == ("Odd", "Odd.mode=b")
    assert run(raw, custom("a")).needs == ("Odd",)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("../../etc/passwd", "file_not_uploaded"),
        (f"comfyfleet/{MINE}", "file_not_uploaded"),
        (f"{MINE} [output]", "file_not_uploaded"),
        ({"__value__": MINE}, "file_not_uploaded"),
        (["1", 0], "link_not_allowed"),
        (["nowhere", 0], "link_not_allowed"),
        (None, "file_not_uploaded"),
    ],
)
def test_file_input_takes_only_the_id_of_an_upload(value: Any, code: str) -> None:
    load = {"class_type": "LoadImage", "inputs": {"image": value}}
    raw = {"1": IMAGE, "2": SAVE, "8": load, "9": {**SAVE, "inputs": {"images": ["8", 0], "filename_prefix": "b"}}}
    assert [(error.node_id, error.input, error.code) for error in errors_of(raw, LARGE)] == [("8", "image", code)]
    load["inputs"] = {"image": MINE}
    assert run(raw, LARGE).graph["8"].inputs == {"image": MINE}


def test_upload_in_an_input_that_takes_no_file_is_refused() -> None:
    raw = {"1": IMAGE, "2": {**SAVE, "inputs": {"images": ["1", 0], "filename_prefix": MINE}}}
    assert [error.code for error in errors_of(raw, LARGE)] == ["upload_misplaced"]


def test_empty_text_is_accepted_if_it_is_the_default_of_a_file_input() -> None:
    described = {"input": {"required": {"mask": ["STRING", {"image_upload": True, "default": ""}]}}, "output": []}
    painter = build_catalog(
        {"Painter": {**described, "output_node": True, "python_module": "comfy_extras.nodes_painter"}}
    )
    run({"1": {"class_type": "Painter", "inputs": {"mask": ""}}}, painter)
    assert [
        error.code for error in errors_of({"1": {"class_type": "Painter", "inputs": {"mask": "x.png"}}}, painter)
    ] == ["file_not_uploaded"]


def test_only_the_first_errors_list_valid_values() -> None:
    raw = {str(place): {"class_type": "PreviewAny", "inputs": {"source": [f"l{place}", 0]}} for place in range(50)}
    raw |= {f"l{place}": loaded("gone.safetensors")["1"] for place in range(50)}
    answered = [error.allowed is not None for error in errors_of(raw, SMALL)]
    assert answered == [True] * 10 + [False] * 40


def test_only_the_first_unknown_names_get_suggestions() -> None:
    raw = {str(place): {"class_type": f"EmptyImage{place}", "inputs": {}} for place in range(50)}
    errors = errors_of(raw, LARGE)
    assert len(errors) == 50
    assert sum(error.allowed is not None for error in errors) == 5


def test_pointer_escapes_special_characters_in_node_ids() -> None:
    raw = {"a/b~c": {**IMAGE, "inputs": {}}, "2": {**SAVE, "inputs": {"images": ["a/b~c", 0], "filename_prefix": "a"}}}
    assert errors_of(raw, LARGE)[0].pointer == "/workflow/a~1b~0c/inputs/width"


def test_denied_class_is_refused_even_if_no_output_needs_it() -> None:
    raw = {"1": IMAGE, "2": SAVE, "9": {"class_type": "SimSleep", "inputs": {"image": ["gone", 7], "seconds": None}}}
    assert set(run(raw, LARGE).graph) == {"1", "2"}
    with pytest.raises(InvalidWorkflow) as refused:
        run(raw, LARGE, policy=STRICT)
    (error,) = refused.value.details.errors
    assert (error.code, error.pointer) == ("node_class_not_allowed", "/workflow/9/class_type")


def test_node_of_a_denied_class_has_no_further_errors() -> None:
    raw = {"1": {"class_type": "CheckpointSave", "inputs": {"filename_prefix": None, "model": "x"}}}
    (error,) = errors_of(raw, LARGE)
    assert error.code == "node_class_not_allowed"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("c.safetensors", "value_not_in_list"),
        ({"__value__": "c.safetensors"}, "literal_required"),
        ({"__value__": ["1", 0]}, "literal_required"),
        ({"a": 1}, "literal_required"),
        (["1", 0], "link_not_allowed"),
        (["gone", 0], "link_not_allowed"),
        (["1"], "link_not_allowed"),
        ([], "link_not_allowed"),
        (None, "literal_required"),
        (MINE, "upload_misplaced"),
        ("../a.safetensors", "value_not_in_list"),
    ],
)
def test_model_must_be_the_full_name_of_a_model_of_the_fleet(value: Any, code: str) -> None:
    (error,) = errors_of({**loaded(value), "1b": IMAGE}, LARGE)
    assert (error.code, error.node_id, error.input) == (code, "1", "ckpt_name")


def test_wrapped_model_is_sent_unwrapped_to_the_node() -> None:
    verdict = run(loaded({"__value__": MODELS[3]}), LARGE, policy=STRICT)  # type: ignore[arg-type]
    assert verdict.graph["1"].inputs == {"ckpt_name": MODELS[3]}
    assert f"CheckpointLoaderSimple.ckpt_name={MODELS[3]}" in verdict.needs


def test_output_name_may_be_null() -> None:
    raw = {"1": IMAGE, "2": {**SAVE, "inputs": {"images": ["1", 0], "filename_prefix": None}}}
    assert run(raw, LARGE).graph["2"].inputs == {"images": ["1", 0], "filename_prefix": ""}


def test_graph_policy_applies_to_parts_of_dynamic_inputs() -> None:
    def inputs(**described: Any) -> dict[str, Any]:
        return {"inputs": {"required": described}}

    options = [
        {"key": "own", **inputs(picture=[["other.png"], {"image_upload": True}])},
        {"key": "lora", **inputs(lora_name=[["a.safetensors"]])},
    ]
    described = {"input": {"required": {"source": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}}, "output": []}
    pack = build_catalog({"Pack": {**described, "output_node": True, "python_module": "custom_nodes.pack"}})

    def codes(**given: Any) -> list[str]:
        inputs = {name.replace("__", "."): value for name, value in given.items()}
        return [error.code for error in errors_of({"1": {"class_type": "Pack", "inputs": inputs}}, pack)]

    for value in ("other.png", ["gone", 0], {"__value__": MINE}, None):
        assert codes(source="own", source__picture=value) in (["file_not_uploaded"], ["link_not_allowed"])
    assert codes(source="lora", source__lora_name="b.safetensors") == ["value_not_in_list"]
    assert codes(source="lora", source__lora_name="../a.safetensors") == ["value_not_in_list"]
    run({"1": {"class_type": "Pack", "inputs": {"source": "own", "source.picture": MINE}}}, pack)
    run({"1": {"class_type": "Pack", "inputs": {"source": "lora", "source.lora_name": "a.safetensors"}}}, pack)


@pytest.mark.parametrize("value", [[1, 2, 3], [], [["1", 0], 0], {"__value__": ["1", 0]}, ["x" * 1000]], ids=str)
def test_list_in_an_undeclared_input_is_kept_and_counts_toward_the_text_size(value: Any) -> None:
    described = {"input": {"required": {}}, "output": ["IMAGE"], "output_node": True}
    pack = build_catalog({"Pack": {**described, "python_module": "custom_nodes.pack"}})
    graph = run({"1": {"class_type": "Pack", "inputs": {"any": value}}}, pack).graph
    assert graph["1"].inputs == {"any": value}
    assert measure_graph(graph, specs=pack.classes).text_bytes >= str(value).count("x")
