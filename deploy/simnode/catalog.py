"""The node classes of one simulated server."""

from simnode.node_class import NodeClass
from simnode.nodes import (
    audio,
    dynamic,
    files,
    fillers,
    filters,
    for_tests,
    images,
    latents,
    loaders,
    sampling,
    saving,
    text,
    tiling,
    unsafe,
    videos,
)
from simnode.wire import Document, Workflow

CLASSES_SINCE_0_33 = frozenset(one.name for one in dynamic.CLASSES)  # not in 0.3.64


class Catalog:
    """Node classes by name, without the hidden ones."""

    def __init__(self, without: frozenset[str] = frozenset(), filler_classes: int = 0) -> None:
        groups = (
            loaders, files, latents, sampling, tiling, images, filters, dynamic, saving, videos, text, audio,
            unsafe, for_tests,
        )  # fmt: skip
        classes: list[NodeClass] = [one for group in groups for one in group.CLASSES]
        classes += fillers.build_filler_classes(filler_classes)
        self._classes = {one.name: one for one in classes if one.name not in without}

    def list_names(self) -> list[str]:
        """Class names in listing order."""
        return list(self._classes)

    def find_class(self, name: object) -> NodeClass | None:
        """Return a class by name; None if there is none."""
        return self._classes.get(name) if isinstance(name, str) else None

    def get_node_class(self, node: Document) -> NodeClass:
        """Return the class of a validated node."""
        name: str = node["class_type"]
        return self._classes[name]


def find_linked_nodes(graph: Workflow, catalog: Catalog, node_id: str) -> list[str]:
    """Return the ids of nodes that are linked to the declared inputs of a node, in the order of its inputs."""
    node = graph[node_id]
    declared = {field.name for field in catalog.get_node_class(node).expand_inputs(node["inputs"])}
    links = [value for name, value in node["inputs"].items() if name in declared and isinstance(value, list)]
    return [link[0] for link in links]
