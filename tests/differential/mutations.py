"""Single changes of workflows that a node accepts. Each change is a typical mistake or variant."""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.differential.bases import Workflow

Change = Callable[[Workflow, random.Random], bool]
"""Changes the workflow in place; False where it has no place for the change."""

_CHANGES: dict[str, Change] = {}


@dataclass(frozen=True)
class Case:
    """A workflow to be validated by both sides."""

    name: str
    workflow: Workflow


def generate_cases(workflows: Mapping[str, Workflow], *, per_workflow: int, seed: int) -> Iterator[Case]:
    """Return every workflow unchanged and with ``per_workflow`` single changes, reproducible by seed."""
    for name, workflow in sorted(workflows.items()):
        yield Case(name, workflow)
        rng = random.Random(f"{seed} {name}")  # noqa: S311 - reproducible, no secret
        for kind in rng.sample(sorted(_CHANGES), per_workflow):
            changed = copy.deepcopy(workflow)
            if _CHANGES[kind](changed, rng) and not _is_same(changed, workflow):
                yield Case(f"{name}: {kind}", changed)


def _is_same(one: Workflow, two: Workflow) -> bool:
    """Whether two values are the same JSON: 1 and true are equal in Python."""
    return json.dumps(one) == json.dumps(two)


def _change(function: Change) -> Change:
    _CHANGES[function.__name__.strip("_").replace("_", " ")] = function
    return function


def _places(workflow: Workflow, wanted: Callable[[Any], bool]) -> list[tuple[str, str]]:
    return [
        (node_id, name)
        for node_id, node in workflow.items()
        for name, value in node["inputs"].items()
        if wanted(value) and not _is_file(value)
    ]


def _is_file(value: Any) -> bool:
    """Whether this is the name of an upload.

    Those are not mutated, because a node does not check who may use a file.
    """
    return isinstance(value, str) and value.endswith((".png", ".wav", ".mp4", ".latent", ".glb"))


def _is_link(value: Any) -> bool:
    return isinstance(value, list)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _put(wanted: Callable[[Any], bool], make: Callable[[Any, random.Random], Any]) -> Change:
    def change(workflow: Workflow, rng: random.Random) -> bool:
        places = _places(workflow, wanted)
        if not places:
            return False
        node_id, name = rng.choice(places)
        inputs = workflow[node_id]["inputs"]
        inputs[name] = make(inputs[name], rng)
        return True

    return change


_VALUES: dict[str, tuple[Callable[[Any], bool], Callable[[Any, random.Random], Any]]] = {
    "number as text": (_is_number, lambda value, _: str(value)),
    "number as text with spaces": (_is_number, lambda value, _: f" {value} "),
    "word for a number": (_is_number, lambda _value, _: "many"),
    "empty text for a number": (_is_number, lambda _value, _: ""),
    "fraction for a number": (_is_number, lambda value, _: float(value) + 0.4),
    "boolean for a number": (_is_number, lambda _value, rng: rng.choice([True, False])),
    "object for a number": (_is_number, lambda _value, _: {"a": 1}),
    "far too large": (_is_number, lambda _value, _: 2**63),
    "far too small": (_is_number, lambda _value, _: -(2**62)),
    "just another number": (_is_number, lambda value, rng: value + rng.choice([-1, 1])),
    "wrapped number": (_is_number, lambda value, _: {"__value__": value}),
    "wrapped text number": (_is_number, lambda value, _: {"__value__": str(value)}),
    "wrapped null": (_is_number, lambda _value, _: {"__value__": None}),
    "wrapped list of three": (lambda value: not _is_link(value), lambda _value, _: {"__value__": [1, 2, 3]}),
    "other text": (lambda value: isinstance(value, str), lambda value, _: value + "x"),
    "number for text": (lambda value: isinstance(value, str), lambda _value, _: 7),
    "true for text": (lambda value: isinstance(value, str), lambda _value, _: True),
    "wrapped text": (lambda value: isinstance(value, str), lambda value, _: {"__value__": value}),
    "object for text": (lambda value: isinstance(value, str), lambda _value, _: {"on": True, "name": "x"}),
    "empty text": (lambda value: isinstance(value, str), lambda _value, _: ""),
    "text for a boolean": (lambda value: isinstance(value, bool), lambda _value, rng: rng.choice(["true", "yes", "x"])),
    "number for a boolean": (lambda value: isinstance(value, bool), lambda _value, rng: rng.choice([0, 1, 2.5])),
    "null for a value": (lambda value: not _is_link(value), lambda _value, _: None),
    "bare list for a value": (lambda value: not _is_link(value), lambda _value, _: [1, 2, 3]),
    "link to nowhere": (lambda _: True, lambda _value, _: ["no such node", 0]),
    "link with a number for its node": (_is_link, lambda _value, _: [1, 0]),
    "link with text for its output": (_is_link, lambda value, _: [value[0], str(value[1])]),
    "link to an output that is not there": (_is_link, lambda value, _: [value[0], 99]),
    "link of three": (_is_link, lambda value, _: [*value, 0]),
    "link of one": (_is_link, lambda value, _: value[:1]),
    "text for a link": (_is_link, lambda _value, _: "photo.png"),
    "number for a link": (_is_link, lambda _value, _: 3),
    "null for a link": (_is_link, lambda _value, _: None),
}
for _name, (_wanted, _make) in _VALUES.items():
    _CHANGES[_name] = _put(_wanted, _make)


@_change
def _dropped_input(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, lambda _: True)
    if not places:
        return False
    node_id, name = rng.choice(places)
    del workflow[node_id]["inputs"][name]
    return True


@_change
def _renamed_input(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, lambda _: True)
    if not places:
        return False
    node_id, name = rng.choice(places)
    inputs = workflow[node_id]["inputs"]
    inputs[name.rpartition(".")[2] + "_"] = inputs.pop(name)
    return True


@_change
def _input_without_its_group(workflow: Workflow, rng: random.Random) -> bool:
    places = [place for place in _places(workflow, lambda _: True) if "." in place[1]]
    if not places:
        return False
    node_id, name = rng.choice(places)
    inputs = workflow[node_id]["inputs"]
    inputs[name.rpartition(".")[2]] = inputs.pop(name)
    return True


@_change
def _link_from_another_node(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, _is_link)
    if not places:
        return False
    node_id, name = rng.choice(places)
    workflow[node_id]["inputs"][name] = [rng.choice(sorted(workflow)), 0]
    return True


@_change
def _link_to_itself(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, _is_link)
    if not places:
        return False
    node_id, name = rng.choice(places)
    workflow[node_id]["inputs"][name] = [node_id, 0]
    return True


@_change
def _value_from_a_text(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, lambda value: not _is_link(value))
    if not places:
        return False
    node_id, name = rng.choice(places)
    workflow["text"] = {"class_type": "PrimitiveString", "inputs": {"value": "x"}}
    workflow[node_id]["inputs"][name] = ["text", 0]
    return True


@_change
def _link_from_a_latent(workflow: Workflow, rng: random.Random) -> bool:
    places = _places(workflow, _is_link)
    if not places:
        return False
    node_id, name = rng.choice(places)
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    workflow["latent"] = latent
    workflow[node_id]["inputs"][name] = ["latent", 0]
    return True


def _add(node: dict[str, Any]) -> Change:
    def change(workflow: Workflow, _rng: random.Random) -> bool:
        workflow["added"] = copy.deepcopy(node)
        return True

    return change


_NODES: dict[str, dict[str, Any]] = {
    "unconnected node": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "unconnected node out of range": {"class_type": "EmptyLatentImage", "inputs": {"width": -5}},
    "unconnected node with a model that is gone": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "gone.safetensors"},
    },
    "unconnected node that feeds itself": {"class_type": "ImageInvert", "inputs": {"image": ["added", 0]}},
    "unconnected node with a link to nowhere": {"class_type": "ImageInvert", "inputs": {"image": ["nowhere", 0]}},
    "unconnected node of an unknown class": {"class_type": "NoSuchClass", "inputs": {}},
    "output that lacks its input": {"class_type": "PreviewImage", "inputs": {}},
    "output of an output": {"class_type": "PreviewImage", "inputs": {"images": ["added", 0]}},
}
for _name, _node in _NODES.items():
    _CHANGES[_name] = _add(_node)


def _extra(key: str, value: Any) -> Change:
    def change(workflow: Workflow, rng: random.Random) -> bool:
        workflow[rng.choice(sorted(workflow))][key] = value
        return True

    return change


_KEYS: dict[str, Any] = {"is_changed": ["abc"], "title": "a title", "mode": 4, "_meta": {"title": "x"}, "unknown": {}}
for _name, _extra_value in _KEYS.items():
    _CHANGES[f"node with {_name}"] = _extra(_name, _extra_value)


@_change
def _undeclared_value(workflow: Workflow, rng: random.Random) -> bool:
    workflow[rng.choice(sorted(workflow))]["inputs"]["no_such_input"] = rng.choice(
        [1, "x", None, {"a": [1]}, [1, 2, 3]]
    )
    return True


@_change
def _unknown_class(workflow: Workflow, rng: random.Random) -> bool:
    workflow[rng.choice(sorted(workflow))]["class_type"] = "NoSuchClass"
    return True


@_change
def _no_output(workflow: Workflow, _rng: random.Random) -> bool:
    workflow.clear()
    workflow["1"] = {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}
    return True


@_change
def _longer_id(workflow: Workflow, rng: random.Random) -> bool:
    """Replace ids by ids like those of nodes in a subgraph."""
    old = rng.choice(sorted(workflow))
    new = f"57:{old}"
    workflow[new] = workflow.pop(old)
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == old:
                node["inputs"][name] = [new, *value[1:]]
    return True
