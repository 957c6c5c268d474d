from typing import Any

import pytest

from contracts.wire.errors import FieldError
from gateway.workflows.parameters import (
    ParameterBody,
    build_parameters_schema,
    relocate_errors,
    resolve_parameters,
    set_values,
    validate_values,
)

GRAPH: dict[str, Any] = {
    "1": {"class_type": "Loader", "inputs": {"ckpt_name": "a.safetensors"}},
    "2": {"class_type": "Sampler", "inputs": {"model": ["1", 0], "seed": 5, "cfg": 7.0, "add_noise": True}},
    "3": {"class_type": "Text", "inputs": {"text": "a dog", "clip": ["1", 1]}, "_meta": {"title": "$prompt"}},
    "4": {"class_type": "Int", "inputs": {"value": 20}, "_meta": {"title": "param: steps"}},
}


def declared(**sent: dict[str, Any]) -> dict[str, ParameterBody]:
    found, errors = resolve_parameters({name: ParameterBody.model_validate(one) for name, one in sent.items()}, GRAPH)
    assert not errors
    return found


def faults(**sent: dict[str, Any]) -> list[tuple[str, str]]:
    _, errors = resolve_parameters({name: ParameterBody.model_validate(one) for name, one in sent.items()}, GRAPH)
    return [(error.pointer, error.code) for error in errors]


def test_node_titles_declare_parameters() -> None:
    found, errors = resolve_parameters(None, GRAPH)
    assert not errors
    assert build_parameters_schema(found) == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "default": "a dog"},
            "steps": {"type": "integer", "default": 20},
        },
        "required": [],
        "additionalProperties": False,
    }
    assert {name: (one.node, one.input) for name, one in found.items()} == {
        "prompt": ("3", "text"),
        "steps": ("4", "value"),
    }


def test_empty_parameter_list_declares_no_parameters() -> None:
    assert resolve_parameters({}, GRAPH) == ({}, ())


@pytest.mark.parametrize(
    ("title", "inputs", "code"),
    [
        ("$seed", {"seed": 1, "steps": 2}, "parameter_ambiguous"),
        ("$seed", {}, "parameter_ambiguous"),
        ("$", {"seed": 1}, "parameter_name"),
        ("$5 a picture", {"seed": 1}, "parameter_name"),
        ("$" + "a" * 65, {"seed": 1}, "parameter_name"),
        ("$größe", {"seed": 1}, "parameter_name"),
        ("$prompt", {"seed": 1}, "parameter_twice"),
    ],
)
def test_ambiguous_parameter_titles_are_refused(title: str, inputs: dict[str, Any], code: str) -> None:
    graph = GRAPH | {"9": {"class_type": "A", "inputs": inputs, "_meta": {"title": title}}}
    _, errors = resolve_parameters(None, graph)
    assert [(error.pointer, error.code, error.node_id) for error in errors] == [("/workflow/9/_meta/title", code, "9")]


def test_parameter_type_and_default_come_from_the_graph() -> None:
    found = declared(
        seed={"node": "2", "input": "seed"},
        cfg={"node": "2", "input": "cfg", "minimum": 1, "maximum": 30},
        noise={"node": "2", "input": "add_noise"},
        text={"node": "3", "input": "text", "required": True},
        half={"node": "4", "input": "value", "type": "number", "default": 0.5},
    )
    assert build_parameters_schema(found)["properties"] == {
        "seed": {"type": "integer", "default": 5},
        "cfg": {"type": "number", "default": 7.0, "minimum": 1, "maximum": 30},
        "noise": {"type": "boolean", "default": True},
        "text": {"type": "string"},
        "half": {"type": "number", "default": 0.5},
    }
    assert build_parameters_schema(found)["required"] == ["text"]


@pytest.mark.parametrize(
    ("sent", "pointer", "code"),
    [
        ({"node": "8", "input": "seed"}, "", "parameter_target_missing"),
        ({"node": "2", "input": "sede"}, "", "parameter_target_missing"),
        ({"node": "2", "input": "model"}, "/type", "parameter_type_unknown"),
        ({"node": "3", "input": "text", "minimum": 1}, "", "parameter_bounds"),
        ({"node": "2", "input": "seed", "minimum": 2, "maximum": 1}, "/minimum", "parameter_bounds"),
        ({"node": "2", "input": "seed", "default": "5"}, "/default", None),
        ({"node": "2", "input": "seed", "type": "integer", "default": "5"}, "/default", "parameter_type"),
        ({"node": "2", "input": "seed", "minimum": 6}, "/default", "parameter_range"),
        ({"node": "2", "input": "seed", "enum": [1, 2]}, "/default", "parameter_choice"),
        ({"node": "2", "input": "seed", "enum": [5, "6"]}, "/enum/1", "parameter_type"),
        ({"node": "2", "input": "seed", "enum": [5, 5]}, "/enum", "parameter_choices"),
    ],
)
def test_parameter_without_a_matching_input_is_refused(sent: dict[str, Any], pointer: str, code: str | None) -> None:
    assert faults(x=sent) == ([] if code is None else [(f"/parameters/x{pointer}", code)])


def test_two_parameters_for_one_input_are_refused() -> None:
    one = {"node": "2", "input": "seed"}
    assert faults(a=one, b=one) == [("/parameters/b", "parameter_target_taken")]


@pytest.mark.parametrize(
    ("sent", "code", "allowed"),
    [
        ({"seed": True}, "parameter_type", ("integer",)),
        ({"seed": 1.0}, "parameter_type", ("integer",)),
        ({"seed": "1"}, "parameter_type", ("integer",)),
        ({"seed": None}, "parameter_type", ("integer",)),
        ({"seed": [1]}, "parameter_type", ("integer",)),
        ({"seed": -1}, "parameter_range", (0, 9)),
        ({"seed": 10}, "parameter_range", (0, 9)),
        ({"cfg": "7"}, "parameter_type", ("number",)),
        ({"cfg": 1e300}, "parameter_range", (-(2**63), 2**64 - 1)),
        ({"noise": 1}, "parameter_type", ("boolean",)),
        ({"model": "c"}, "parameter_choice", ("a.safetensors", "b")),
        ({"a/b": 1}, "parameter_unknown", ("seed", "cfg", "noise", "model")),
    ],
)
def test_parameter_values_are_validated_strictly(sent: dict[str, Any], code: str, allowed: tuple[Any, ...]) -> None:
    found = declared(
        seed={"node": "2", "input": "seed", "minimum": 0, "maximum": 9},
        cfg={"node": "2", "input": "cfg"},
        noise={"node": "2", "input": "add_noise"},
        model={"node": "1", "input": "ckpt_name", "enum": ["a.safetensors", "b"]},
    )
    name = next(iter(sent)).replace("/", "~1")
    errors = validate_values(found, sent, "/parameters")
    assert [(one.pointer, one.code, one.allowed) for one in errors] == [(f"/parameters/{name}", code, allowed)]
    assert not validate_values(found, {"seed": 9, "cfg": 3, "noise": False, "model": "b"}, "/parameters")


def test_parameter_values_are_set_in_a_copy_of_the_graph() -> None:
    found = declared(
        seed={"node": "2", "input": "seed"},
        cfg={"node": "2", "input": "cfg", "default": 9.5},
        noise={"node": "2", "input": "add_noise"},
        text={"node": "3", "input": "text", "required": True},
        model={"node": "2", "input": "model", "type": "string"},
    )
    placed = set_values(found, {"noise": False, "text": ""}, GRAPH)
    assert placed["2"]["inputs"] == {"model": ["1", 0], "seed": 5, "cfg": 9.5, "add_noise": False}
    assert placed["3"]["inputs"]["text"] == ""
    assert placed["3"]["_meta"] == {"title": "$prompt"}
    assert GRAPH["2"]["inputs"]["cfg"] == 7.0
    assert GRAPH["3"]["inputs"]["text"] == "a dog"
    assert [one.code for one in validate_values(found, {}, "")] == ["parameter_missing"]


def test_graph_errors_point_at_the_sent_parameter() -> None:
    found = declared(seed={"node": "2", "input": "seed"})
    seed = FieldError(pointer="/workflow/2/inputs/seed", code="c", message="m", node_id="2", input="seed")
    other = FieldError(pointer="/workflow/1", code="c", message="m", node_id="1")
    assert [one.pointer for one in relocate_errors((seed, other), found, "/parameters")] == ["/parameters/seed", ""]
