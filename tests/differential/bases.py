"""Workflows that a node accepts, as input of the mutations: ordinary ones that it can run, and one per class."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.ordinary_graphs.builder import UPLOADS, OrdinaryGraph
from tests.ordinary_graphs.corpus import ordinary_graphs

Workflow = dict[str, Any]
ObjectInfo = Mapping[str, Any]


def build_base_workflows(object_info: ObjectInfo, uploaded: Mapping[str, str]) -> dict[str, Workflow]:
    """Return the workflows by name.

    Args:
        uploaded: names of ``UPLOADS`` on the node; workflows that need other uploads are left out.
    """
    found = {graph.name: graph.with_uploads(uploaded) for graph in _ordinary(object_info, uploaded)}
    found |= dict(_of_every_class(object_info))
    return {name: workflow for name, workflow in found.items() if _has_classes(workflow, object_info)}


def choices(described: Any) -> list[Any]:
    """Return the options of an input; none if it is not a combo."""
    if isinstance(described[0], list):
        return described[0]
    return described[1].get("options", []) if described[0] == "COMBO" and len(described) > 1 else []


def inputs_of(object_info: ObjectInfo, class_type: str) -> dict[str, Any]:
    """Return the inputs of a class from the node's catalog, required and optional."""
    sections = object_info[class_type]["input"]
    return {**sections.get("required", {}), **sections.get("optional", {})}


def _ordinary(object_info: ObjectInfo, uploaded: Mapping[str, str]) -> Iterator[OrdinaryGraph]:
    """Return ordinary workflows with their models replaced by models of the node."""
    for graph in ordinary_graphs():
        if graph.classes - object_info.keys() or graph.uploads - uploaded.keys():
            continue
        workflow = json.loads(json.dumps(graph.workflow))
        if all(_fit_choices(node, inputs_of(object_info, node["class_type"])) for node in workflow.values()):
            yield OrdinaryGraph(graph.name, graph.shape, workflow)


def _fit_choices(node: dict[str, Any], described: Mapping[str, Any]) -> bool:
    """Replace options that the node lacks by its first option; returns whether that was possible."""
    for name, value in node["inputs"].items():
        if name not in described or isinstance(value, list | dict) or value in UPLOADS:
            continue
        if _is_choice(described[name]) and value not in (listed := choices(described[name])):
            if not listed:
                return False
            node["inputs"][name] = listed[0]
    return True


def _is_choice(described: Any) -> bool:
    return isinstance(described[0], list) or described[0] == "COMBO"


def _has_classes(workflow: Workflow, object_info: ObjectInfo) -> bool:
    return all(node["class_type"] in object_info for node in workflow.values())


SOURCES: Mapping[str, tuple[str, dict[str, Any], int]] = {
    "IMAGE": ("EmptyImage", {"width": 16, "height": 16, "batch_size": 1, "color": 1}, 0),
    "LATENT": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}, 0),
    "MASK": ("ImageToMask", {"image": ["IMAGE", 0], "channel": "red"}, 0),
    "AUDIO": ("EmptyAudio", {"duration": 1.0, "sample_rate": 44100, "channels": 2}, 0),
    "STRING": ("PrimitiveString", {"value": "text"}, 0),
}


def _of_every_class(object_info: ObjectInfo) -> Iterator[tuple[str, Workflow]]:
    """Return a workflow for each class whose required inputs can be filled, with its sources and an output node."""
    for class_type, described in object_info.items():
        workflow: Workflow = {}
        inputs = _filled(described["input"].get("required", {}), "", workflow, object_info)
        if inputs is None or described.get("api_node") or "api_nodes" in described["python_module"]:
            continue
        workflow["subject"] = {"class_type": class_type, "inputs": inputs}
        if not described["output_node"]:
            if not described["output"]:
                continue
            workflow["keep"] = {"class_type": "PreviewAny", "inputs": {"source": ["subject", 0]}}
        yield f"class {class_type}", workflow


def _filled(
    required: Mapping[str, Any], prefix: str, workflow: Workflow, object_info: ObjectInfo
) -> dict[str, Any] | None:
    """Return values for these inputs and add nodes for links to the workflow; None if an input has no value."""
    inputs: dict[str, Any] = {}
    for short, (kind, *more) in required.items():
        extra, name = (more[0] if more else {}), prefix + short
        if any(flag.endswith("_upload") for flag in extra):
            return None
        filled = _value(kind, extra, name, workflow, object_info)
        if filled is None:
            return None
        inputs |= filled
    return inputs


def _value(
    kind: Any, extra: Mapping[str, Any], name: str, workflow: Workflow, object_info: ObjectInfo
) -> dict[str, Any] | None:
    if kind == "COMFY_DYNAMICCOMBO_V3":
        option = extra["options"][0]
        inner = _filled(option["inputs"].get("required", {}), f"{name}.", workflow, object_info)
        return None if inner is None else {name: option["key"], **inner}
    if kind == "COMFY_AUTOGROW_V3":
        template = extra["template"]
        names = template.get("names") or [f"{template['prefix']}{place}" for place in range(template["max"])]
        (inner_kind,) = [one for section in template["input"].values() for one in section.values()]
        wanted = dict.fromkeys(names[: max(template["min"], 1)], inner_kind)
        return _filled(wanted, f"{name}.", workflow, object_info)
    if isinstance(kind, list) or kind == "COMBO":
        listed = choices([kind, extra])
        return {name: listed[0]} if listed else None
    if kind in {"INT", "FLOAT", "STRING", "BOOLEAN"} and not extra.get("forceInput"):
        return {name: extra.get("default", {"INT": 1, "FLOAT": 1.0, "STRING": "a", "BOOLEAN": True}[kind])}
    source = _source(kind, workflow, object_info)
    return None if source is None else {name: source}


def _source(kind: str, workflow: Workflow, object_info: ObjectInfo) -> list[Any] | None:
    """Add a node that outputs this type to the workflow; returns a link to it."""
    if kind in {"*", "COMFY_MATCHTYPE_V3"}:
        kind = "IMAGE"
    if kind not in SOURCES or SOURCES[kind][0] not in object_info:
        return None
    class_type, given, slot = SOURCES[kind]
    inputs = {
        name: _source("IMAGE", workflow, object_info) if isinstance(value, list) else value
        for name, value in given.items()
    }
    node_id = f"from {class_type}"
    workflow.setdefault(node_id, {"class_type": class_type, "inputs": inputs})
    return [node_id, slot]
