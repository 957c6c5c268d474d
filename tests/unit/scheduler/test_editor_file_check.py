"""A file of ComfyUI's editor is converted and checked on a fleet of different nodes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import UnrunnableGraph
from scheduler.domain.workflow_check import CheckContext, CheckedWorkflow, check_workflow
from tests.kit.catalogs import build_catalog, simulated_catalog

SIMULATED = simulated_catalog()
LIMITS = Limits(images_per_day=None, max_running=None, queue_cap=None, weight=1, requests_per_minute=None)
TERMS = CheckContext(TenantPolicy(mode=GraphPolicy.OPEN), LIMITS, {}, 16, datetime(2026, 3, 7, tzinfo=UTC))


def a_file(*values: Any, prefix: Any = "a") -> dict[str, Any]:
    """Build a file that saves an empty image."""
    image = {
        "id": 1,
        "type": "EmptyImage",
        "widgets_values": list(values),
        "inputs": [],
        "outputs": [{"type": "IMAGE"}],
    }
    slot = {"name": "images", "type": "IMAGE", "link": 1}
    save = {"id": 2, "type": "SaveImage", "widgets_values": [prefix], "inputs": [slot]}
    return {"nodes": [image, save], "links": [[1, 1, 0, 2, 0, "IMAGE"]], "version": 0.4}


def found(raw: dict[str, Any], *catalogs: Catalog) -> CheckedWorkflow:
    examined = check_workflow(raw, frozenset(), catalogs, TERMS, lambda _: 0)
    if isinstance(examined, UnrunnableGraph):
        raise examined.build_refusal()
    return examined


def test_converted_graph_is_the_graph_that_is_stored() -> None:
    examined = found(a_file(32, 16, 2, 5), SIMULATED)
    assert examined.graph == (
        '{"1":{"class_type":"EmptyImage","inputs":{"width":32,"height":16,"batch_size":2,"color":5}},'
        '"2":{"class_type":"SaveImage","inputs":{"filename_prefix":"a","images":["1",0]}}}'
    )
    assert examined.images == 2


def test_error_names_node_and_input_with_the_json_pointer_of_the_file() -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        found(a_file(32, -16, 2, 5), SIMULATED)
    (error,) = refused.value.details.errors
    assert (error.pointer, error.node_id, error.input) == ("/workflow", "1", "height")


def test_refusal_of_a_file_states_the_reason_and_suggests_the_api_format() -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        found(a_file("wide", 16, 2, 5), SIMULATED)
    (error,) = refused.value.details.errors
    assert (error.pointer, error.code, error.node_id) == ("/workflow", "workflow_ui_format", "1")
    assert error.message.startswith("Node 1 (EmptyImage) of this workflow file of ComfyUI's editor cannot be converted")
    assert 'It has "wide" where the value of width (INT) belongs' in error.message
    assert error.message.endswith("Send the workflow in API format instead: in ComfyUI, menu Workflow, Export (API).")


def test_file_is_converted_with_the_classes_of_a_matching_node() -> None:
    saving = {"input": {"required": {"images": ["IMAGE", {}], "filename_prefix": ["STRING", {}]}}}
    image = {name: ["INT", {"default": 8}] for name in ("width", "height", "depth", "batch_size", "color")}
    classes = {
        "EmptyImage": {"input": {"required": image}, "output": ["IMAGE"], "output_node": False},
        "SaveImage": {**saving, "output": [], "output_node": True},
    }
    other = build_catalog({name: {**one, "python_module": "nodes"} for name, one in classes.items()})
    five = found(a_file(32, 16, 4, 2, 5), SIMULATED, other)
    assert '"depth":4' in five.graph
    four = found(a_file(32, 16, 2, 5), SIMULATED, other)
    assert '"depth"' not in four.graph


def test_unknown_class_in_a_file_suggests_a_similar_class() -> None:
    raw = a_file(32, 16, 2, 5)
    raw["nodes"][0]["type"] = "EmptyImag"
    with pytest.raises(InvalidWorkflow) as refused:
        found(raw, SIMULATED)
    (error,) = refused.value.details.errors
    assert (error.code, error.node_id) == ("unknown_node_class", "1")
    assert "EmptyImage" in error.message


def test_file_without_a_running_node_is_refused() -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        found({"nodes": [], "links": []}, SIMULATED)
    assert "It has no node that runs." in refused.value.details.errors[0].message


def test_file_is_refused_with_a_retry_time_while_the_fleet_is_empty() -> None:
    with pytest.raises(EmptyFleet):
        found(a_file(32, 16, 2, 5))
