"""Checks of a graph that need no knowledge of classes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.workflow import (
    MAX_LINKS,
    MAX_NODES,
    ancestors,
    find_cycle_error,
    graph_to_json,
    has_valid_links,
    read_graph,
)

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
NODE = {"class_type": "EmptyImage", "inputs": {}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_real_workflows_are_parsed_completely(path: Path) -> None:
    raw = json.loads(path.read_text())
    graph, errors = read_graph(raw)
    assert not errors
    assert list(graph) == list(raw)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ([], "workflow_not_a_graph"),
        ({}, "workflow_not_a_graph"),
        ("x", "workflow_not_a_graph"),
        ({"nodes": [], "links": []}, "workflow_ui_format"),
        ({"1": {"class_type": "EmptyImage"}}, "node_malformed"),  # kills a node's worker thread
        ({"1": {"class_type": "EmptyImage", "inputs": None}}, "node_malformed"),
        ({"1": {"inputs": {}}}, "node_malformed"),
        ({"1": 5}, "node_malformed"),
        ({"1": {"class_type": 5, "inputs": {}}}, "node_malformed"),
        ({str(n): NODE for n in range(MAX_NODES + 1)}, "workflow_too_large"),
        # becomes a float when it is stored
        ({"1": {"class_type": "X", "inputs": {"a": 2**64}}}, "integer_out_of_range"),
        ({"1": {"class_type": "X", "inputs": {"a": {"__value__": [{"b": -(2**63) - 1}]}}}}, "integer_out_of_range"),
        ({"1": {**NODE, "_meta": {"a": 2**64}}}, "integer_out_of_range"),
        ({"1": NODE, "2": {"class_type": "X", "inputs": {"a": ["1", 2**64]}}}, "integer_out_of_range"),
    ],
)
def test_value_that_is_not_a_graph_is_refused(raw: Any, code: str) -> None:
    _, errors = read_graph(raw, "/workflow")
    assert {error.code for error in errors} == {code}
    assert all(error.pointer.startswith("/workflow") for error in errors)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (5, "/workflow/a~1b~0c"),
        ({"class_type": "X", "inputs": {"d/e~f": 2**64}}, "/workflow/a~1b~0c/inputs/d~1e~0f"),
        ({**NODE, "_meta": {"a": 2**64}}, "/workflow/a~1b~0c/_meta"),
    ],
)
def test_pointer_escapes_special_characters_in_ids_and_names(body: Any, pointer: str) -> None:
    _, (error,) = read_graph({"a/b~c": body}, "/workflow")
    assert error.pointer == pointer


def test_pointer_of_a_cycle_escapes_special_characters() -> None:
    graph, _ = read_graph({"a/b~c": {"class_type": "X", "inputs": {"a": ["a/b~c", 0]}}})
    error = find_cycle_error(graph, "/workflow")
    assert error is not None
    assert error.pointer == "/workflow/a~1b~0c"


def chain(length: int) -> dict[str, Any]:
    raw: dict[str, Any] = {"0": NODE}
    for n in range(1, length):
        raw[str(n)] = {"class_type": "X", "inputs": {"a": [str(n - 1), 0], "b": [str(n - 1), 0]}}
    return raw


@pytest.mark.parametrize("backwards", [False, True])
def test_longest_allowed_chain_is_parsed(backwards: bool) -> None:
    raw = chain(MAX_NODES)
    graph, errors = read_graph(dict(reversed(raw.items())) if backwards else raw)
    assert not errors
    assert len(graph) == MAX_NODES


@pytest.mark.parametrize("backwards", [False, True])
def test_cycle_error_lists_only_the_cycle(backwards: bool) -> None:
    """Nodes 2, 3 and 4 form a cycle; the nodes before and after it are not part of it."""
    raw = chain(8)
    raw["2"] = {"class_type": "X", "inputs": {"a": ["1", 0], "b": ["4", 0]}}
    graph, errors = read_graph(dict(reversed(raw.items())) if backwards else raw)
    assert not errors
    error = find_cycle_error(graph, "/workflow")
    assert error is not None
    cycle = (
        error.message.removeprefix("The links between the nodes ")
        .removesuffix(" form a cycle. Remove one of them.")
        .split(" -> ")
    )
    assert cycle[0] == cycle[-1] == error.node_id
    assert sorted(cycle[1:]) == ["2", "3", "4"]


def test_chain_without_a_cycle_reports_no_cycle() -> None:
    raw = {**chain(3), "x": {"class_type": "X", "inputs": {"a": ["nowhere", 0], "b": [1, 0], "c": [[], {}], "d": []}}}
    graph, errors = read_graph(raw)
    assert not errors
    assert find_cycle_error(graph) is None
    assert set(ancestors(graph, "x")) == {"x"}


def test_unknown_node_keys_are_dropped() -> None:
    raw = {
        "1": {**NODE, "is_changed": ["abc"], "title": "a", "mode": 4, "_meta": {"title": "b"}},
        "2": {**NODE, "_meta": 3},
    }
    graph, errors = read_graph(raw)
    assert not errors
    assert graph_to_json(graph) == {"1": {**NODE, "_meta": {"title": "b"}}, "2": NODE}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_parsed_or_refused_without_a_crash(raw: Any) -> None:
    graph, errors = read_graph({"1": {"class_type": "X", "inputs": {"a": raw}}})
    assert bool(graph) or errors
    read_graph(raw)


@pytest.mark.parametrize(
    "node",
    [
        1,
        {"class_type": "A", "inputs": {"x": 2**64}},
        {"class_type": "A", "inputs": {f"k{number}": 2**64 for number in range(30)}},
        {"class_type": "A", "inputs": {}, "_meta": {"x": -(2**70)}},
    ],
)
def test_graph_with_thousands_of_errors_reports_the_first_hundred(node: Any) -> None:
    _, errors = read_graph({str(number): node for number in range(MAX_NODES)})
    assert len(errors) == 100


def test_error_of_a_long_cycle_names_some_of_its_nodes() -> None:
    count = 1_000
    raw = {f"n{n}": {"class_type": "A", "inputs": {"x": [f"n{(n + 1) % count}", 0]}} for n in range(count)}
    graph, errors = read_graph(raw)
    assert not errors
    error = find_cycle_error(graph)
    assert error is not None
    assert error.code == "workflow_cycle"
    assert " more -> " in error.message
    assert len(error.message) < 200


def test_a_graph_with_more_links_than_allowed_is_refused() -> None:
    links = {f"in{n}": ["0", 0] for n in range(MAX_LINKS)}
    allowed = {"0": NODE, "1": {"class_type": "X", "inputs": links}}
    assert not read_graph(allowed)[1]
    _, (error,) = read_graph(allowed | {"2": {"class_type": "X", "inputs": {"one_more": ["0", 0]}}})
    assert error.code == "workflow_too_large"
    assert str(MAX_LINKS) in error.message


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (["0", 0], True), (["9", 0], False), (["0", -1], False), (["0", 1.0], False), (["0", True], False),
        (["1", 0], False), (["0"], True), ([["0", 0], 1], True), ({"__value__": ["9", 0]}, True), (None, True),
    ],
)  # fmt: skip
def test_graph_is_complete_when_links_exist_and_are_acyclic(value: Any, whole: bool) -> None:
    graph, _ = read_graph({"0": NODE, "1": {"class_type": "X", "inputs": {"in": value}}})
    assert has_valid_links(graph) is whole
