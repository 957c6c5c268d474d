"""What a fleet of different nodes says of a workflow, and in which words."""

from typing import Any

import pytest

from contracts.scheduler import InvalidWorkflow, NoFleet
from contracts.wire.errors import FieldError
from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import Unrunnable, check_fleet
from scheduler.domain.validation.graph_check import Verdict
from tests.kit.catalogs import catalog_of, simulated_catalog

IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}
MINE = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
MODELS = tuple(f"model_{number:03}.safetensors" for number in range(106))
LARGE = simulated_catalog(*MODELS, "zz/detail.safetensors")
SMALL = simulated_catalog("only.safetensors", without=frozenset({"ImageBlur"}))


def run(raw: dict[str, Any], *catalogs: Catalog, uploads: frozenset[str] = frozenset({MINE})) -> Verdict:
    graph, errors = read_graph(raw)
    assert not errors
    verdict = check_fleet(graph, uploads, catalogs, draw_seed=lambda _: 1)
    if isinstance(verdict, Unrunnable):
        raise verdict.refusal()
    return verdict


def errors_of(raw: dict[str, Any], *catalogs: Catalog) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidWorkflow) as caught:
        run(raw, *catalogs)
    return caught.value.refused.errors


def loaded(name: str) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


def test_an_empty_fleet_cannot_say() -> None:
    with pytest.raises(NoFleet):
        run({"1": IMAGE, "2": SAVE})


def test_missing_model_is_named_with_the_nearest_first() -> None:
    (error,) = errors_of(loaded("detail.safetensors"), LARGE)
    assert error.message == (
        'CheckpointLoaderSimple.ckpt_name is "detail.safetensors", which is none of the 107 values that the fleet has. '
        "Nearest: zz/detail.safetensors."
    )
    assert error.allowed == ("zz/detail.safetensors",)
    assert (error.pointer, error.node_id, error.input) == ("/workflow/1/inputs/ckpt_name", "1", "ckpt_name")


def test_short_list_is_told_whole_with_the_nearest_first() -> None:
    few = simulated_catalog("a.safetensors", "b.safetensors", "portrait.safetensors")
    (error,) = errors_of(loaded("portait.safetensors"), few)
    assert error.allowed is not None
    assert error.allowed[0] == "portrait.safetensors"
    assert set(error.allowed) == {"a.safetensors", "b.safetensors", "portrait.safetensors"}


def test_missing_class_is_named_with_the_nearest() -> None:
    (error,) = errors_of({"1": {**IMAGE, "class_type": "EmptyImag"}, "2": SAVE}, LARGE)
    assert error.message.startswith('No node of the fleet has the class "EmptyImag". Nearest: EmptyImage')
    assert error.allowed is not None
    assert error.allowed[0] == "EmptyImage"
    assert error.pointer == "/workflow/1/class_type"


@pytest.mark.parametrize("order", [(LARGE, SMALL), (SMALL, LARGE)])
def test_mixed_fleet_tells_the_reason_of_the_node_that_has_the_class(order: tuple[Catalog, Catalog]) -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": None, "sigma": 1.0}}
    raw = {"1": IMAGE, "3": blur, "2": {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": "a"}}}
    (error,) = errors_of(raw, *order)
    assert (error.code, error.node_id, error.input) == ("required_input_missing", "3", "blur_radius")


def test_what_two_nodes_have_only_together_is_told_so() -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": 1, "sigma": 1.0}}
    raw = {**loaded("only.safetensors"), "3": {**blur, "inputs": {**blur["inputs"], "image": ["4", 0]}}, "4": IMAGE}  # type: ignore[dict-item]
    raw["5"] = {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": "a"}}
    (error,) = errors_of(raw, LARGE, SMALL)
    assert error.message == (
        'CheckpointLoaderSimple.ckpt_name: "only.safetensors" is on some nodes of the fleet, but on none that has all '
        "else that this workflow needs."
    )


def test_node_that_lists_a_choice_is_preferred_to_one_that_may_know_it() -> None:
    def custom(*modes: str) -> Catalog:
        described = {"input": {"required": {"mode": [list(modes)]}}, "output": [], "output_node": True}
        return catalog_of({"Odd": {**described, "python_module": "custom_nodes.odd"}})

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
        (["1", 0], "file_not_uploaded"),
        (["nowhere", 0], "file_not_uploaded"),
    ],
)
def test_file_input_takes_an_upload_and_nothing_else(value: Any, code: str) -> None:
    load = {"class_type": "LoadImage", "inputs": {"image": value}}
    raw = {"1": IMAGE, "2": SAVE, "8": load, "9": {**SAVE, "inputs": {"images": ["8", 0], "filename_prefix": "b"}}}
    assert [(error.node_id, error.input, error.code) for error in errors_of(raw, LARGE)] == [("8", "image", code)]
    load["inputs"] = {"image": MINE}
    assert run(raw, LARGE).graph["8"].inputs == {"image": MINE}


def test_upload_where_no_file_is_taken_is_refused() -> None:
    raw = {"1": IMAGE, "2": {**SAVE, "inputs": {"images": ["1", 0], "filename_prefix": MINE}}}
    assert [error.code for error in errors_of(raw, LARGE)] == ["upload_misplaced"]


def test_empty_text_is_a_file_where_that_is_the_default() -> None:
    described = {"input": {"required": {"mask": ["STRING", {"image_upload": True, "default": ""}]}}, "output": []}
    painter = catalog_of({"Painter": {**described, "output_node": True, "python_module": "comfy_extras.nodes_painter"}})
    run({"1": {"class_type": "Painter", "inputs": {"mask": ""}}}, painter)
    assert [
        error.code for error in errors_of({"1": {"class_type": "Painter", "inputs": {"mask": "x.png"}}}, painter)
    ] == ["file_not_uploaded"]


def test_only_the_first_few_errors_say_what_would_be_valid() -> None:
    raw = {str(place): {"class_type": "PreviewAny", "inputs": {"source": [f"l{place}", 0]}} for place in range(50)}
    raw |= {f"l{place}": loaded("gone.safetensors")["1"] for place in range(50)}
    answered = [error.allowed is not None for error in errors_of(raw, SMALL)]
    assert answered == [True] * 10 + [False] * 40


def test_only_the_first_few_names_are_looked_up() -> None:
    raw = {str(place): {"class_type": f"EmptyImage{place}", "inputs": {}} for place in range(50)}
    errors = errors_of(raw, LARGE)
    assert len(errors) == 50
    assert sum(error.allowed is not None for error in errors) == 5


def test_pointer_of_an_odd_node_id_is_escaped() -> None:
    raw = {"a/b~c": {**IMAGE, "inputs": {}}, "2": {**SAVE, "inputs": {"images": ["a/b~c", 0], "filename_prefix": "a"}}}
    assert errors_of(raw, LARGE)[0].pointer == "/workflow/a~1b~0c/inputs/width"
