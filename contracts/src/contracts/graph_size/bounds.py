"""Compares the bounds of a graph with a tenant's limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import isqrt

from contracts.graph_size.analysis import HEIGHT_INPUTS, WIDTH_INPUTS, GraphSize
from contracts.graph_size.node import UnresolvedInput
from contracts.graph_size.size import clamp_bound
from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value, make_printable
from contracts.wire.text import escape_pointer_key
from contracts.workflow import is_link

GRAPH_POINTER = "/workflow"  # JSON Pointer of the graph in its request
MAX_ERRORS = 20
COUNT_INPUTS = ("batch_size", "length", "amount", "frames", "video_frames", "num_frames", "layers", "multiplier")


@dataclass(frozen=True, slots=True)
class GraphBounds:
    """Limits of one graph. None means unlimited.

    Attributes:
        nodes: number of nodes in the graph.
        text_bytes: UTF-8 bytes of text in all inputs, after values were passed along links.
        pixels: pixels of one image times the images or frames of a node's output.
        steps: steps of one sampler.
        pixel_steps: pixels times images times steps, summed over all samplers.
    """

    nodes: int | None = None
    text_bytes: int | None = None
    pixels: int | None = None
    steps: int | None = None
    pixel_steps: int | None = None

    @property
    def limits_sizes(self) -> bool:
        """Whether any limit depends on the size of outputs."""
        return any(bound is not None for bound in (self.pixels, self.steps, self.pixel_steps))


def check_bounds(size: GraphSize, bounds: GraphBounds, *, nodes: int | None = None) -> tuple[FieldError, ...]:
    """Return an error for every exceeded limit, with the node and input to change; at most ``MAX_ERRORS``.

    Args:
        nodes: number of nodes in the graph as it was sent, if nodes that no output needs were removed before measuring.
    """
    sent = len(size.graph) if nodes is None else nodes
    return tuple(islice(_find_bound_errors(size, bounds, sent), MAX_ERRORS))


def check_unknown_counts(size: GraphSize) -> tuple[FieldError, ...]:
    """Return an error for every image count that comes by a link and cannot be computed; at most ``MAX_ERRORS``."""
    counts = (number for number in size.unknown if number.counts)
    return tuple(_build_link_error(size, number) for number in islice(counts, MAX_ERRORS))


def _find_bound_errors(size: GraphSize, bounds: GraphBounds, nodes: int) -> Iterator[FieldError]:
    if bounds.nodes is not None and nodes > bounds.nodes:
        message = f"The workflow has {nodes} nodes; your tier allows {bounds.nodes}. Split it into several jobs."
        yield FieldError(pointer=GRAPH_POINTER, code="too_many_nodes", message=message)
    if bounds.text_bytes is not None and size.text_bytes > bounds.text_bytes:
        name = _find_largest_literal(size)
        what = f"the text {name} of" if name is not None else "the texts that go to"
        message = (
            f"The workflow has {_format_number(size.text_bytes)} bytes of text, counted at every node that a text "
            f"reaches; your tier allows {bounds.text_bytes}. Shorten {what} node {size.longest_text_node}."
        )
        yield _build_size_error(size.longest_text_node, name, "too_much_text", message)
    unknown = {(number.node_id, number.input): number for number in size.unknown}
    if bounds.pixels is not None:
        yield from _find_too_large_errors(size, bounds.pixels, unknown)
    for sampling in size.samplings if bounds.steps is not None else ():
        if bounds.steps is not None and sampling.steps > bounds.steps:
            message = (
                f"The {_build_node_label(size, sampling.node_id)} may take {_format_number(sampling.steps)} steps; "
                f"your tier allows {bounds.steps}."
                f"{_choose_advice(unknown.get((sampling.node_id, sampling.input)), 'Use fewer steps.')}"
            )
            yield _build_size_error(sampling.node_id, sampling.input, "too_many_steps", message)
    work = clamp_bound(sum(sampling.pixel_steps for sampling in size.samplings))
    if bounds.pixel_steps is not None and work > bounds.pixel_steps:
        largest = max(size.samplings, key=lambda sampling: sampling.pixel_steps)
        message = (
            f"The workflow may need {_format_number(work)} pixels times steps, of which "
            f"{_format_number(largest.pixel_steps)} at {_build_node_label(size, largest.node_id)}; your tier allows "
            f"{bounds.pixel_steps}."
            f"{_choose_advice(next(iter(size.unknown), None), 'Use fewer steps, fewer images or smaller ones.')}"
        )
        yield _build_size_error(largest.node_id, largest.input, "too_much_work", message)


def _find_largest_literal(size: GraphSize) -> str | None:
    """Return the input with the longest literal text of the node with the most text; None if it has no literal text."""
    inputs = size.graph[size.longest_text_node].inputs if size.longest_text_node in size.graph else {}
    texts = {name: len(value) for name, value in inputs.items() if isinstance(value, str)}
    return max(texts, key=texts.__getitem__, default=None)


def _find_too_large_errors(
    size: GraphSize, most: int, unknown: dict[tuple[str, str], UnresolvedInput]
) -> Iterator[FieldError]:
    """Return an error for the first node of every path whose output is too large; later nodes only pass it on."""
    large = {node_id for node_id in size.graph if _find_largest_pixels(size, node_id) > most}
    for node_id in size.graph if large else ():
        node = size.graph[node_id]
        if node_id not in large or any(is_link(value) and value[0] in large for value in node.inputs.values()):
            continue
        output = size.largest_output(node_id)
        name = next((key for key in node.inputs if (node_id, key) in unknown), None) or next(
            (key for key in node.inputs if key.rpartition(".")[2] in (*COUNT_INPUTS, *WIDTH_INPUTS, *HEIGHT_INPUTS)),
            None,
        )
        message = (
            f"The {_build_node_label(size, node_id)} would make up to {_format_number(output.total)} images of "
            f"{_format_number(output.width)} x {_format_number(output.height)}, together "
            f"{_format_number(_find_largest_pixels(size, node_id))} pixels, and your tier allows {most} per node "
            f"(such as one image of {isqrt(most)} x {isqrt(most)})."
            f"{_choose_advice(unknown.get((node_id, name or '')), 'Use fewer images or smaller ones.')}"
        )
        yield _build_size_error(node_id, name, "graph_too_large", message)


def _find_largest_pixels(size: GraphSize, node_id: str) -> int:
    output = size.largest_output(node_id)
    return output.pixels * output.total


def _build_node_label(size: GraphSize, node_id: str) -> str:
    node = size.graph.get(node_id)
    return (
        f"node {format_value(node_id)} ({make_printable(node.class_type)})"
        if node is not None
        else f"node {format_value(node_id)}"
    )


def _build_link_error(size: GraphSize, number: UnresolvedInput) -> FieldError:
    message = (
        f"{number.input} of {_build_node_label(size, number.node_id)} decides how many images are made, but its link "
        "gives a number that is known only when the job runs. Use a number here."
    )
    return _build_size_error(number.node_id, number.input, "size_by_link", message)


def _choose_advice(unknown: UnresolvedInput | None, otherwise: str) -> str:
    if unknown is None:
        return f" {otherwise}"
    return f" {unknown.input} comes by a link, so it is taken as {unknown.assumed:g}: use a number here."


def _format_number(value: int) -> str:
    return "more than 10^15" if value > 10**15 else str(value)


def _build_size_error(node_id: str, name: str | None, code: str, message: str) -> FieldError:
    where = f"{GRAPH_POINTER}/{escape_pointer_key(node_id)}"
    if name is not None:
        where += f"/inputs/{escape_pointer_key(name)}"
    return FieldError(pointer=where, code=code, message=message, node_id=node_id, input=name)
