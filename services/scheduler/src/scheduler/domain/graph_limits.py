"""Measures a graph and checks it against the limits of its tenant."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.auth.tiers import Limits
from contracts.catalog import ClassSpec
from contracts.graph_size.analysis import measure
from contracts.graph_size.bounds import GraphBounds, check_bounds, check_unknown_counts
from contracts.graph_size.image_quota import reserve
from contracts.wire.errors import FieldError
from contracts.workflow import Graph


class GraphCost(NamedTuple):
    """The images to reserve for a graph, and the limits that it exceeds."""

    images: int
    errors: tuple[FieldError, ...]


def check_graph_limits(
    graph: Graph,
    limits: Limits,
    *,
    nodes: int,
    specs: Mapping[str, ClassSpec],
    uploads: Mapping[str, tuple[int, int]],
    frames_per_image: int,
) -> GraphCost:
    """Measure a graph and return its cost with the limits that it exceeds. Takes milliseconds for the largest graphs.

    Args:
        graph: the graph as the ComfyUI server would get it.
        limits: limits of the tenant.
        nodes: number of nodes in the submitted graph, including those that feed no output.
        specs: node classes of that server.
        uploads: width and height in pixels of uploaded images by id.
        frames_per_image: frames of an animation or a video that count as one image.
    """
    size = measure(graph, specs=specs, uploads=uploads)
    bounds = build_graph_bounds(limits)
    reservation = reserve(size, frames_per_image)
    errors = check_bounds(size, bounds, nodes=nodes)
    if limits.images_per_day is not None or bounds.limit_sizes:
        errors = check_unknown_counts(size) or errors
    return GraphCost(reservation.images, errors)


def build_graph_bounds(limits: Limits) -> GraphBounds:
    return GraphBounds(
        nodes=limits.graph_nodes,
        text_bytes=limits.graph_text_bytes,
        pixels=limits.graph_pixels,
        steps=limits.graph_steps,
        pixel_steps=limits.graph_pixel_steps,
    )
