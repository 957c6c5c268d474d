"""At least 100 ordinary workflows of stock classes, from ComfyUI 0.3.64 to 0.33."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.ordinary_graphs.builder import OrdinaryGraph
from tests.ordinary_graphs.graphics import GRAPHICS
from tests.ordinary_graphs.images import IMAGES
from tests.ordinary_graphs.videos_and_audio import VIDEOS_AND_AUDIO


@cache
def ordinary_graphs() -> tuple[OrdinaryGraph, ...]:
    """Return every graph of the corpus, by name."""
    made = [*IMAGES.build_graphs(), *GRAPHICS.build_graphs(), *VIDEOS_AND_AUDIO.build_graphs(), *_exported()]
    return tuple(sorted(made, key=lambda graph: graph.name))


def _exported() -> Iterator[OrdinaryGraph]:
    """Return the workflows that are stored as files."""
    for path in sorted((Path(__file__).parents[1] / "workflows").glob("*.json")):
        yield OrdinaryGraph(path.stem, "exported", json.loads(path.read_text()))
