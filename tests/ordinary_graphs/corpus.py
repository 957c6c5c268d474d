"""At least 100 ordinary workflows of stock classes, from ComfyUI 0.3.64 to 0.33."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.ordinary_graphs.builder import OrdinaryGraph
from tests.ordinary_graphs.graphics import GRAPHICS
from tests.ordinary_graphs.images import IMAGES
from tests.ordinary_graphs.motion import MOTION


@cache
def ordinary_graphs() -> tuple[OrdinaryGraph, ...]:
    """Every graph of the corpus, by name."""
    made = [*IMAGES.graphs(), *GRAPHICS.graphs(), *MOTION.graphs(), *_exported()]
    return tuple(sorted(made, key=lambda graph: graph.name))


def needed_models() -> frozenset[tuple[str, str]]:
    """Every model file that some graph loads, as (``Class.input``, file name)."""
    return frozenset().union(*(graph.models for graph in ordinary_graphs()))


def _exported() -> Iterator[OrdinaryGraph]:
    """The workflows that came as files."""
    for path in sorted((Path(__file__).parents[1] / "workflows").glob("*.json")):
        yield OrdinaryGraph(path.stem, "exported", json.loads(path.read_text()))
