"""What a graph will cost, and whether a tenant may run it."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.auth.tiers import Limits
from contracts.catalog import ClassSpec
from contracts.graph_size.analysis import measure
from contracts.graph_size.bounds import GraphBounds, check_bounds, check_known
from contracts.graph_size.images import reserve
from contracts.wire.errors import FieldError
from contracts.workflow import Graph


class Appraisal(NamedTuple):
    """The images to reserve for a graph, and what keeps the tenant from running it."""

    images: int
    errors: tuple[FieldError, ...]


def appraise(
    graph: Graph,
    limits: Limits,
    *,
    nodes: int,
    specs: Mapping[str, ClassSpec],
    uploads: Mapping[str, tuple[int, int]],
    frames_per_image: int,
) -> Appraisal:
    """Measure a graph that some node can run. Takes milliseconds for the largest graphs.

    Args:
        graph: what the node would get.
        nodes: of the graph as it was sent: each was checked, whether an output needs it or not.
        specs: classes of that node.
        uploads: width and height of uploaded pictures by the id that the graph names.
    """
    size = measure(graph, specs=specs, uploads=uploads)
    bounds = bounds_of(limits)
    reservation = reserve(size, frames_per_image)
    errors = check_bounds(size, bounds, nodes=nodes)
    if limits.images_per_day is not None or bounds.limit_sizes:
        errors = check_known(size) or errors
    return Appraisal(reservation.images, errors)


def bounds_of(limits: Limits) -> GraphBounds:
    """The bounds that limits set on a graph."""
    return GraphBounds(
        nodes=limits.graph_nodes,
        text_bytes=limits.graph_text_bytes,
        pixels=limits.graph_pixels,
        steps=limits.graph_steps,
        pixel_steps=limits.graph_pixel_steps,
    )
