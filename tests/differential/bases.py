"""Workflows that a node accepts, to be mutated: ordinary ones that it has everything for, and one for each class."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.ordinary_graphs.builder import UPLOADS, OrdinaryGraph
from tests.ordinary_graphs.corpus import ordinary_graphs

Workflow = dict[str, Any]
ObjectInfo = Mapping[str, Any]


def bases(object_info: ObjectInfo, uploaded: Mapping[str, str]) -> dict[str, Workflow]:
    """The workflows by name.

    Args:
        uploaded: names that the node has for ``UPLOADS``; workflows with others are left out.
    """
    found = {graph.name: graph.with_uploads(uploaded) for graph in _ordinary(object_info, uploaded)}
    found |= dict(_of_every_class(object_info))
    return {name: workflow for name, workflow in found.items() if _has_classes(workflow, object_info)}


def choices(described: Any) -> list[Any]:
    """The options of an input; none where it is no choice."""
    if isinstance(described[0], list):
        return described[0]
    return described[1].get("options", []) if described[0] == "COMBO" and len(described) > 1 else []


def inputs_of(object_info: ObjectInfo, class_type: str) -> dict[str, Any]:
    """The inputs of a class as the node describes them, required and optional."""
    sections = object_info[class_type]["input"]
    return {**sections.get("required", {}), **sections.get("optional", {})}


def _ordinary(object_info: ObjectInfo, uploaded: Mapping[str, str]) -> Iterator[OrdinaryGraph]:
    """Ordinary workflows with the models that the node has in the place of those that they name."""
    for graph in ordinary_graphs():
        if graph.classes - object_info.keys() or graph.uploads - uploaded.keys():
            continue
        workflow = json.loads(json.dumps(graph.workflow))
        if all(_fit_choices(node, inputs_of(object_info, node["class_type"])) for node in workflow.values()):
            yield OrdinaryGraph(graph.name, graph.shape, workflow)


def _fit_choices(node: dict[str, Any], described: Mapping[str, Any]) -> bool:
    """Put the node's first option where the workflow names one that the node lacks; whether that was possible."""
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
    """For each class whose required inputs can be filled: the class, what feeds it, and an output that keeps it."""
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
    """Values for these inputs, with nodes for links put into the workflow; None where one has no value."""
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
    """A link to a node that gives this type, put into the workflow."""
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
