"""Inputs that take a number get only numbers: no text or image through a node that passes any type on."""

from typing import Any

import pytest

from contracts.catalog import AutogrowInputs, ClassSpec, InputSpec
from contracts.graph_policy.decision import find_violations
from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.workflow import read_graph
from tests.kit.effort import count_calls

STRICT, OPEN = TenantPolicy(), TenantPolicy(mode=GraphPolicy.OPEN)
WIDE = "%9999999999d"  # as the left operand of %, it makes a text of 10 GB


def takes(kind: str) -> InputSpec:
    return InputSpec(type=kind, required=True)


def grown(kind: str, *names: str) -> InputSpec:
    return InputSpec(
        type="COMFY_AUTOGROW_V3", required=True, grown=AutogrowInputs(names=names, required=1, input=takes(kind))
    )


def gives(kind: str, module: str, **inputs: InputSpec) -> ClassSpec:
    return ClassSpec(inputs=inputs, outputs=(kind,), output_node=False, module=module)


ANY = "COMFY_MATCHTYPE_V3"
CLASSES = {
    "PrimitiveString": gives("STRING", "comfy_extras.nodes_primitive", value=takes("STRING")),
    "PrimitiveInt": gives("INT", "comfy_extras.nodes_primitive", value=takes("INT")),
    "EmptyImage": gives("IMAGE", "nodes", width=takes("INT")),
    "ComfySwitchNode": gives(
        ANY, "comfy_extras.nodes_logic", switch=takes("BOOLEAN"), on_false=takes(ANY), on_true=takes(ANY)
    ),
    "CreateList": gives(ANY, "comfy_extras.nodes_toolkit", inputs=grown(ANY, "input0", "input1")),
    "ComfyMathExpression": gives(
        "INT", "comfy_extras.nodes_math", expression=takes("STRING"), values=grown("FLOAT,INT,BOOLEAN", "a", "b")
    ),
    "PackSwitch": gives("*", "custom_nodes.pack", anything=takes("*")),
}
SOURCES: dict[str, Any] = {
    "text": {"class_type": "PrimitiveString", "inputs": {"value": WIDE}},
    "image": {"class_type": "EmptyImage", "inputs": {"width": 8}},
    "number": {"class_type": "PrimitiveInt", "inputs": {"value": 8}},
}


def switch(on_false: Any, on_true: Any) -> dict[str, Any]:
    return {"class_type": "ComfySwitchNode", "inputs": {"switch": True, "on_false": on_false, "on_true": on_true}}


def collect(*values: Any) -> dict[str, Any]:
    inputs = {f"inputs.input{place}": value for place, value in enumerate(values)}
    return {"class_type": "CreateList", "inputs": inputs}


def calculate(value: Any) -> dict[str, Any]:
    return {"class_type": "ComfyMathExpression", "inputs": {"expression": "a % b", "values.a": value, "values.b": 1}}


def find_codes(raw: dict[str, Any], policy: TenantPolicy = STRICT) -> list[tuple[str | None, str | None, str]]:
    graph, errors = read_graph(raw)
    assert not errors
    return [(error.node_id, error.input, error.code) for error in find_violations(graph, CLASSES, policy, frozenset())]


@pytest.mark.parametrize("value", [7, 0.5, True, {"__value__": 7}, ["number", 0], ["switch", 0], ["list", 0], ["m", 0]])
def test_expression_takes_numbers_and_links_that_pass_only_numbers(value: Any) -> None:
    passing = {"switch": switch(["number", 0], ["list", 0]), "list": collect(["number", 0], 7)}
    assert find_codes(SOURCES | passing | {"m": calculate(8), "1": calculate(value)}) == []


@pytest.mark.parametrize("value", [WIDE, {"__value__": WIDE}, {"__value__": [1]}, {"a": 1}])
def test_expression_takes_no_other_literal(value: Any) -> None:
    assert find_codes(SOURCES | {"1": calculate(value)}) == [("1", "values.a", "not_a_number")]


@pytest.mark.parametrize(
    "passing",
    [
        {"a": switch(["text", 0], ["text", 0])},
        {"a": switch(["number", 0], ["image", 0])},
        {"a": switch(["number", 0], {"__value__": WIDE})},
        {"a": collect(["number", 0], ["text", 0])},
        {"a": switch(["number", 0], ["b", 0]), "b": collect(["c", 0]), "c": switch(["text", 0], ["number", 0])},
        {"c": switch(["text", 0], ["a", 0]), "a": switch(["c", 0], ["number", 0])},
    ],
)
def test_link_that_can_pass_something_else_than_a_number_is_refused(passing: dict[str, Any]) -> None:
    assert find_codes(SOURCES | passing | {"1": calculate(["a", 0])}) == [("1", "values.a", "link_not_allowed")]


def test_text_cannot_reach_an_expression_through_another_class() -> None:
    passing = {
        "a": switch(["text", 0], ["text", 0]),
        "b": {"class_type": "PrimitiveInt", "inputs": {"value": ["a", 0]}},
    }
    assert find_codes(SOURCES | passing | {"1": calculate(["b", 0])}) == [("b", "value", "link_not_allowed")]


def test_outputs_of_allowed_packs_count_as_numbers() -> None:
    policy = TenantPolicy(rules=ClassRules(allowed_packs=("custom_nodes.pack",)))
    pack = {"pack": {"class_type": "PackSwitch", "inputs": {"anything": ["text", 0]}}}
    passing = {"a": switch(["pack", 0], ["number", 0]), "1": calculate(["a", 0]), "2": calculate(["pack", 0])}
    assert find_codes(SOURCES | pack | passing, policy) == []


def test_open_policy_does_not_restrict_values_of_expressions() -> None:
    assert find_codes(SOURCES | {"1": calculate(WIDE)}, OPEN) == []


def test_effort_grows_linearly_with_the_graph() -> None:
    def count(nodes: int) -> int:
        chain = {f"s{place}": switch([f"s{place - 1}", 0] if place else ["number", 0], 7) for place in range(nodes)}
        graph, errors = read_graph(
            SOURCES | chain | {f"m{place}": calculate([f"s{place}", 0]) for place in range(nodes)}
        )
        assert not errors
        return count_calls(lambda: find_violations(graph, CLASSES, STRICT, frozenset()))

    assert count(800) <= 2.2 * count(400)
