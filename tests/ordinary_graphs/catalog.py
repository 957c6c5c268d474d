"""The catalog of a fleet that has just what the corpus needs."""

from collections.abc import Iterable

from contracts.catalog import ClassSpec
from tests.ordinary_graphs.builder import OrdinaryGraph, known_classes


def catalog_for(graphs: Iterable[OrdinaryGraph]) -> dict[str, ClassSpec]:
    """Every class that the graphs use. A choice offers what the corpus names and ComfyUI's default, nothing else."""
    used = frozenset().union(*(graph.classes for graph in graphs))
    return {name: ClassSpec.model_validate(fact) for name, fact in known_classes().items() if name in used}
