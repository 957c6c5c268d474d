"""Small workflows for each class of a node: the class, its sources, and output nodes for each of its outputs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Workflow = dict[str, dict[str, Any]]
ObjectInfo = Mapping[str, Any]
Described = tuple[str, Any, Mapping[str, Any]]  # name, type and options of an input

WIDGETS: Mapping[str, Any] = {"INT": 1, "FLOAT": 1.0, "STRING": "a", "BOOLEAN": True}
SIDE = 64  # pixels; the default sizes of many classes take minutes on a CPU
FRAMES = 9
SMALL: Mapping[str, int] = {
    **dict.fromkeys(("width", "height", "target_width", "target_height", "resolution", "largest_size"), SIDE),
    **dict.fromkeys(("length", "num_frames", "frames", "video_frames"), FRAMES),
    **dict.fromkeys(("duration", "seconds"), 1),
}

# Preferred sources of a type: fast ones whose output is not empty.
PREFERRED: Mapping[str, tuple[str, int]] = {
    "IMAGE": ("LoadImage", 0),
    "MASK": ("LoadImage", 1),
    "LATENT": ("EmptyLatentImage", 0),
    "AUDIO": ("EmptyAudio", 0),
    "VIDEO": ("CreateVideo", 0),
    "STRING": ("PrimitiveString", 0),
    "INT": ("PrimitiveInt", 0),
    "FLOAT": ("PrimitiveFloat", 0),
    "BOOLEAN": ("PrimitiveBoolean", 0),
    "SIGMAS": ("KarrasScheduler", 0),
    "SAMPLER": ("KSamplerSelect", 0),
    "NOISE": ("DisableNoise", 0),
    "CONDITIONING": ("LotusConditioning", 0),
}

# Output nodes by type: the class, its input, and its other inputs.
OUTPUT_NODES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "IMAGE": ("SaveImage", "images", {"filename_prefix": "kept"}),
    "LATENT": ("SaveLatent", "samples", {"filename_prefix": "kept"}),
    "AUDIO": ("SaveAudio", "audio", {"filename_prefix": "kept"}),
    "VIDEO": ("SaveVideo", "video", {"filename_prefix": "kept", "format": "auto", "codec": "auto"}),
    "MESH": ("SaveGLB", "mesh", {"filename_prefix": "kept"}),
    "SVG": ("SaveSVGNode", "svg", {"filename_prefix": "kept"}),
}

MATCHED = "COMFY_MATCHTYPE_V3"
ANY = "*"


@dataclass(frozen=True)
class NoWorkflow(Exception):
    """A class has no workflow; the message contains the reason."""

    reason: str


@dataclass(frozen=True)
class TypeSource:
    """A source of a type: a node's output, and the workflow that contains the node."""

    class_type: str
    slot: int
    workflow: Workflow


class GraphBuilder:
    """Builds workflows from a node's catalog.

    Args:
        files: names of uploads in the node's input folder.
    """

    def __init__(self, object_info: ObjectInfo, files: Iterable[str]) -> None:
        self._info, self._files = object_info, tuple(files)
        self._sources: dict[str, TypeSource] = {}
        self._find_makers()

    def build_variants(self, class_type: str) -> Iterator[tuple[str, Workflow]]:
        """Return workflows of one class: with required inputs, with all inputs, and with each option of a dynamic
        input.

        Raises:
            NoWorkflow: a required input cannot be filled.
        """
        described = self._info[class_type]["input"]
        plain = self._workflow(class_type, {}, with_optional=False)
        yield "required inputs", plain
        if described.get("optional") and (full := self._workflow(class_type, {}, with_optional=True)) != plain:
            yield "all inputs", full
        for name, kind, facts in _inputs(described, "required"):
            if kind == "COMFY_DYNAMICCOMBO_V3":
                for option in facts["options"][1:]:
                    try:
                        yield f"{name} {option['key']}", self._workflow(class_type, {name: option["key"]}, False)
                    except NoWorkflow:
                        continue

    def _find_makers(self) -> None:
        """Find a source of each type: a class whose own inputs can be filled by sources found before."""
        local = {name: one for name, one in sorted(self._info.items()) if not is_api(one)}
        while True:
            found: dict[str, TypeSource] = {}
            for class_type, one in local.items():
                for slot, kind in enumerate(one["output"]):
                    if not isinstance(kind, str) or kind in self._sources or kind in found:
                        continue
                    preferred = PREFERRED.get(kind, ("", 0))
                    if preferred[0] in local and preferred != (class_type, slot):
                        continue
                    if (workflow := self._build_source(class_type)) is not None:
                        found[kind] = TypeSource(class_type, slot, workflow)
            if not found:
                return
            self._sources.update(found)

    def _build_source(self, class_type: str) -> Workflow | None:
        """Return a node of this class with its sources."""
        workflow: Workflow = {}
        try:
            inputs = self._fill(workflow, _inputs(self._info[class_type]["input"], "required"), {}, "")
        except NoWorkflow:
            return None
        return {**workflow, f"from {class_type}": {"class_type": class_type, "inputs": inputs}}

    def _workflow(self, class_type: str, chosen: Mapping[str, str], with_optional: bool) -> Workflow:
        workflow: Workflow = {}
        one = self._info[class_type]
        inputs = self._fill(workflow, _inputs(one["input"], "required"), chosen, "")
        if with_optional:
            for described in _inputs(one["input"], "optional"):
                try:
                    inputs |= self._fill(workflow, [described], chosen, "")
                except NoWorkflow:
                    continue
        workflow["subject"] = {"class_type": class_type, "inputs": inputs}
        matched = self._matched_type(one, inputs, workflow)
        for slot, kind in enumerate(one["output"]):
            self._keep(workflow, slot, matched if kind == MATCHED else kind)
        if not one["output_node"] and not one["output"]:
            raise NoWorkflow("gives nothing")
        return workflow

    def _matched_type(self, one: Mapping[str, Any], inputs: Mapping[str, Any], workflow: Workflow) -> str:
        for name, kind, _ in _inputs(one["input"], "required"):
            value = inputs.get(name)
            if kind == MATCHED and isinstance(value, list):
                return str(self._info[workflow[value[0]]["class_type"]]["output"][value[1]])
        return ANY

    def _keep(self, workflow: Workflow, slot: int, kind: Any) -> None:
        source: list[Any] = ["subject", slot]
        if kind == "MASK":
            workflow[f"image {slot}"] = {"class_type": "MaskToImage", "inputs": {"mask": source}}
            source, kind = [f"image {slot}", 0], "IMAGE"
        class_type, name, more = OUTPUT_NODES.get(kind if isinstance(kind, str) else "", ("", "", {}))
        if class_type not in self._info:
            class_type, name, more = "PreviewAny", "source", {}
        workflow[f"keep {slot}"] = {"class_type": class_type, "inputs": {name: source, **more}}

    def _fill(
        self, workflow: Workflow, described: Iterable[Described], chosen: Mapping[str, str], prefix: str
    ) -> dict[str, Any]:
        """Return values for inputs and add the linked nodes to the workflow."""
        inputs: dict[str, Any] = {}
        for short, kind, facts in described:
            inputs |= self._value(workflow, prefix + short, kind, facts, chosen)
        return inputs

    def _value(
        self, workflow: Workflow, name: str, kind: Any, facts: Mapping[str, Any], chosen: Mapping[str, str]
    ) -> dict[str, Any]:
        if kind == "COMFY_DYNAMICCOMBO_V3":
            key = chosen.get(name, facts["options"][0]["key"])
            option = next(one for one in facts["options"] if one["key"] == key)
            return {name: key, **self._fill(workflow, _inputs(option["inputs"], "required"), chosen, f"{name}.")}
        if kind == "COMFY_AUTOGROW_V3":
            return self._rows(workflow, name, facts["template"], chosen)
        options = kind if isinstance(kind, list) else facts.get("options", [])
        if isinstance(kind, list) or kind == "COMBO" or _takes_file(facts):
            return {name: self._choice(name, options, facts)}
        return {name: self._widget_or_link(workflow, name, kind, facts)}

    def _widget_or_link(self, workflow: Workflow, name: str, kind: str, facts: Mapping[str, Any]) -> Any:
        kinds = (facts["template"]["allowed_types"] if kind == MATCHED else kind).split(",")
        for one in kinds:
            if one in WIDGETS and not facts.get("forceInput"):
                return _widget(name.rpartition(".")[2], one, facts)
        for one in kinds:
            if one == ANY or one in self._sources:
                return self._link(workflow, "IMAGE" if one == ANY else one)
        if "default" in facts:
            return facts["default"]
        raise NoWorkflow(f"nothing gives {kind}")

    def _rows(
        self, workflow: Workflow, name: str, template: Mapping[str, Any], chosen: Mapping[str, str]
    ) -> dict[str, Any]:
        names = template.get("names") or [f"{template['prefix']}{place}" for place in range(template["max"])]
        (row,) = [one for section in ("required", "optional") for one in _inputs(template["input"], section)]
        wanted = [(short, row[1], row[2]) for short in names[: max(template["min"], 2)]]
        return self._fill(workflow, wanted, chosen, f"{name}.")

    def _choice(self, name: str, options: list[Any], facts: Mapping[str, Any]) -> Any:
        for file in self._files:
            if file in options:
                return file
        if _takes_file(facts):
            raise NoWorkflow(f"no file of ours for {name}")
        if facts.get("default") in options:
            return facts["default"]
        if not options:
            raise NoWorkflow(f"the node has nothing to choose for {name}")
        return options[0]

    def _link(self, workflow: Workflow, kind: str) -> list[Any]:
        if kind not in self._sources:
            raise NoWorkflow(f"nothing gives {kind}")
        maker = self._sources[kind]
        workflow.update(maker.workflow)
        return [f"from {maker.class_type}", maker.slot]


def is_api(described: Mapping[str, Any]) -> bool:
    """Return whether a class calls an external service."""
    return bool(described.get("api_node")) or described["python_module"].startswith("comfy_api_nodes")


def with_names(workflow: Workflow, names: Mapping[str, str]) -> Workflow:
    """Return the workflow with other file names."""
    copy: Workflow = json.loads(json.dumps(workflow))
    for node in copy.values():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and value in names:
                node["inputs"][name] = names[value]
    return copy


def _inputs(sections: Mapping[str, Any], section: str) -> list[Described]:
    return [
        (name, described[0], described[1] if len(described) > 1 and isinstance(described[1], dict) else {})
        for name, described in (sections.get(section) or {}).items()
    ]


def _takes_file(facts: Mapping[str, Any]) -> bool:
    return any(name.endswith("_upload") for name in facts)


def _widget(name: str, kind: str, facts: Mapping[str, Any]) -> Any:
    numeric = kind in {"INT", "FLOAT"}
    default = facts.get("default", max(WIDGETS[kind], facts.get("min", 1)) if numeric else WIDGETS[kind])
    if kind == "INT" and name in SMALL and isinstance(default, int | float):
        return max(min(default, SMALL[name]), facts.get("min", 0))
    return default
