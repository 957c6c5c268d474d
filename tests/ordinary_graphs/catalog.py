"""The catalog of a fleet that has exactly what the corpus needs."""

from collections.abc import Iterable

from contracts.catalog import ClassSpec
from tests.ordinary_graphs.builder import OrdinaryGraph, known_classes


def catalog_for(graphs: Iterable[OrdinaryGraph]) -> dict[str, ClassSpec]:
    """Return every class of the graphs. A combo has only the options in the corpus and ComfyUI's default."""
    used = frozenset().union(*(graph.classes for graph in graphs))
    return {name: ClassSpec.model_validate(fact) for name, fact in known_classes().items() if name in used}
