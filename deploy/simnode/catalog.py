"""The node classes of one simulated server."""

from simnode.node_class import NodeClass
from simnode.nodes import (
    audio,
    dynamic,
    files,
    fillers,
    filters,
    latents,
    loaders,
    motion,
    pictures,
    reaching,
    sampling,
    saving,
    text,
    tiling,
    trials,
)
from simnode.wire import Document, Workflow

ONLY_NEW = frozenset(one.name for one in dynamic.CLASSES)  # not in 0.3.64


class Catalog:
    """Node classes by name, without the hidden ones."""

    def __init__(self, without: frozenset[str] = frozenset(), filler_classes: int = 0) -> None:
        groups = (
            loaders, files, latents, sampling, tiling, pictures, filters, dynamic, saving, motion, text, audio,
            reaching, trials,
        )  # fmt: skip
        classes: list[NodeClass] = [one for group in groups for one in group.CLASSES]
        classes += fillers.classes(filler_classes)
        self._classes = {one.name: one for one in classes if one.name not in without}

    def names(self) -> list[str]:
        """Class names in listing order."""
        return list(self._classes)

    def get(self, name: object) -> NodeClass | None:
        """Return a class by name; None if there is none."""
        return self._classes.get(name) if isinstance(name, str) else None

    def of(self, node: Document) -> NodeClass:
        """Return the class of a validated node."""
        name: str = node["class_type"]
        return self._classes[name]


def find_linked_nodes(graph: Workflow, catalog: Catalog, node_id: str) -> list[str]:
    """Return the ids of nodes that are linked to the declared inputs of a node, in the order of its inputs."""
    node = graph[node_id]
    declared = {field.name for field in catalog.of(node).fields(node["inputs"])}
    links = [value for name, value in node["inputs"].items() if name in declared and isinstance(value, list)]
    return [link[0] for link in links]
