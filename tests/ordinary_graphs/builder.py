"""Builds workflows in API format as ComfyUI's editor exports them: with every widget value, and links as pairs."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Workflow = dict[str, dict[str, Any]]

CLASSES = Path(__file__).parent / "classes.json"

# Placeholders for upload ids; the suffix is the kind of file that a test uploads for them.
IMAGE_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e01"
IMAGE_2 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e02"
IMAGE_3 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e03"
MASK_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e04"
AUDIO_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e05"
AUDIO_2 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e06"
VIDEO_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e07"
LATENT_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e08"
SCENE_1 = "0a5d5b7e-1f7c-4b52-9a63-5a0f6d3c1e09"
UPLOADS: Mapping[str, str] = {
    IMAGE_1: ".png",
    IMAGE_2: ".png",
    IMAGE_3: ".png",
    MASK_1: ".png",
    AUDIO_1: ".wav",
    AUDIO_2: ".wav",
    VIDEO_1: ".mp4",
    LATENT_1: ".latent",
    SCENE_1: ".glb",
}

MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


class Node:
    """A node of a graph under construction. Used as an input's value it is a link to its first output."""

    def __init__(self, node_id: str) -> None:
        self._id = node_id

    def __getitem__(self, output: int) -> list[Any]:
        """Return a link to one output."""
        return [self._id, output]


class Builder:
    """A graph under construction."""

    def __init__(self) -> None:
        self.workflow: Workflow = {}

    def add(self, class_type: str, /, **inputs: Any) -> Node:
        """Add a node. Widgets that are not set get ComfyUI's default; ``a__b`` is the nested input ``a.b``."""
        given = {name.replace("__", "."): _value(value) for name, value in inputs.items()}
        defaults = {
            name: described["default"]
            for name, described in known_classes().get(class_type, {}).get("inputs", {}).items()
            if "default" in described
        }
        node_id = str(len(self.workflow) + 1)
        self.workflow[node_id] = {"class_type": class_type, "inputs": {**defaults, **given}}
        return Node(node_id)


@dataclass(frozen=True)
class OrdinaryGraph:
    """A typical workflow of stock classes.

    Attributes:
        shape: its family, such as txt2img.
    """

    name: str
    shape: str
    workflow: Workflow

    @property
    def classes(self) -> frozenset[str]:
        return frozenset(node["class_type"] for node in self.workflow.values())

    @property
    def uploads(self) -> frozenset[str]:
        """Return the names in ``UPLOADS`` that the workflow uses."""
        return frozenset(value for value in self._texts() if value in UPLOADS)

    @property
    def models(self) -> frozenset[tuple[str, str]]:
        """Return every model file that the workflow loads, as (``Class.input``, file name)."""
        return frozenset(
            (f"{node['class_type']}.{name}", value)
            for node in self.workflow.values()
            for name, value in node["inputs"].items()
            if isinstance(value, str) and value.endswith(MODEL_SUFFIXES)
        )

    def with_uploads(self, names: Mapping[str, str]) -> Workflow:
        """Return the workflow with ``UPLOADS`` replaced by other names, such as real upload ids."""
        return {
            node_id: {
                **node,
                "inputs": {
                    name: names.get(value, value) if isinstance(value, str) else value
                    for name, value in node["inputs"].items()
                },
            }
            for node_id, node in self.workflow.items()
        }

    def _texts(self) -> Iterator[str]:
        for node in self.workflow.values():
            yield from (value for value in node["inputs"].values() if isinstance(value, str))


GraphFunction = Callable[[Builder], None]


class GraphRegistry:
    """Collects functions that build graphs. A graph has the name of its function."""

    def __init__(self) -> None:
        self._functions: list[tuple[str, GraphFunction]] = []

    def register(self, shape: str) -> Callable[[GraphFunction], GraphFunction]:
        def add(function: GraphFunction) -> GraphFunction:
            self._functions.append((shape, function))
            return function

        return add

    def build_graphs(self) -> Iterator[OrdinaryGraph]:
        for shape, function in self._functions:
            builder = Builder()
            function(builder)
            yield OrdinaryGraph(function.__name__, shape, builder.workflow)


@cache
def known_classes() -> dict[str, Any]:
    """Return the classes of the graphs from ``classes.json``; see ``extract_classes``."""
    classes: dict[str, Any] = json.loads(CLASSES.read_text()) if CLASSES.exists() else {}
    return classes


def _value(value: Any) -> Any:
    return value[0] if isinstance(value, Node) else value
