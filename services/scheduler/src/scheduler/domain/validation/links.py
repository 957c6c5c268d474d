"""Checks that a link leads to an existing output of a type that its input takes."""

from collections.abc import Mapping
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.wire.show_values import format_value, make_printable
from contracts.workflow import LINK_PARTS, Graph
from scheduler.domain.validation.findings import GraphFault

ANY = "*"
BROKEN_LINK = "broken_link"
# ComfyUI's V3 schema: templates and dynamic inputs, whose type is known only when the graph runs.
DYNAMIC_TYPE_PREFIX = "COMFY_"
MAX_LISTED = 50
MAX_DIGITS = 9  # of a node id or output in an example; longer ones get a general example


def find_link_fault(
    label: str, value: list[Any], graph: Graph, node_ids: tuple[str, ...], *, takes_only_links: bool = False
) -> GraphFault | None:
    """Return a fault if a list is not a link to a node of the graph. ``find_slot_fault`` checks the output index.

    Args:
        label: class and name of the input, for the message.
        value: the list.
        graph: the graph.
        node_ids: its node ids. Faults share them, because a graph may have thousands of nodes and of broken links.
        takes_only_links: whether the input takes no list as its value.
    """
    hint = "" if takes_only_links else ' To give a list as the value, write {"__value__": [...]}.'
    if len(value) != LINK_PARTS:
        items = f"{len(value)} item{'' if len(value) == 1 else 's'}"
        message = (
            f"{label} is a list of {items}, and a link has {LINK_PARTS}: the node id as text and the number of the "
            f'output, such as ["4", 0].{hint}'
        )
        return GraphFault(BROKEN_LINK, message)
    source, slot = value
    if not isinstance(source, str):
        return GraphFault(BROKEN_LINK, f"{label} is a link whose node id {_describe_node_id(source, slot)}{hint}")
    if source not in graph:
        message = (
            f"{label} is a link to node {format_value(source)}, which this workflow does not have. Link a node that it "
            "has."
        )
        return GraphFault(BROKEN_LINK, message, given_name=source, choices=node_ids)
    if type(slot) is not int:
        return GraphFault(BROKEN_LINK, f"{label} is a link whose output {_describe_output(source, slot)}")
    if slot < 0:
        message = (
            f"{label} is a link to output {format_value(slot)} of node {format_value(source)}. Outputs are counted "
            "from 0."
        )
        return GraphFault(BROKEN_LINK, message)
    return None


def _describe_node_id(source: Any, slot: Any) -> str:
    if type(source) is int and 0 <= source < 10**MAX_DIGITS and type(slot) is int:
        return f'{source} is a number. Write it as text: ["{source}", {slot}].'
    return (
        f"{format_value(source)} is not a text. A link has the node id as text and the output as a number, such as "
        '["4", 0].'
    )


def _describe_output(source: str, slot: Any) -> str:
    if isinstance(slot, str) and slot.isascii() and slot.isdigit() and len(slot) <= MAX_DIGITS:
        return (
            f"{format_value(slot)} is a text. Write it as a number, without quotes: [{format_value(source)}, "
            f"{int(slot)}]."
        )
    return (
        f'{format_value(slot)} is not a whole number. Write the number of the output, counted from 0, such as ["4", 0].'
    )


def find_slot_fault(label: str, link: list[Any], graph: Graph, classes: Mapping[str, ClassSpec]) -> GraphFault | None:
    """Return a fault if the linked node has no such output. Unknown classes are reported elsewhere."""
    source_id, slot = link
    source = graph[source_id]
    spec = classes.get(source.class_type)
    if spec is None or slot < len(spec.outputs):
        return None
    count = len(spec.outputs)
    has = f"only has the outputs 0 to {count - 1}" if count > 1 else "only has output 0" if count else "has no outputs"
    message = (
        f"{label} is a link to output {format_value(slot)} of node {format_value(source_id)} ({source.class_type}), "
        f"which {has}."
    )
    return GraphFault(BROKEN_LINK, message, tuple(range(count)[:MAX_LISTED]))


def find_type_fault(
    label: str, link: list[Any], accepted: InputSpec, source: str, outputs: tuple[str, ...]
) -> GraphFault | None:
    """Return a fault if the input does not take the type of the linked output.

    Args:
        label: class and name of the input, for the message.
        link: the link.
        accepted: spec of the input.
        source, outputs: class of the linked node, and the types of its outputs.
    """
    given = outputs[link[1]]
    if accepted.variants is not None:
        message = f"{label} takes one of its options, and no link."
        return GraphFault("link_type_mismatch", message, tuple(accepted.variants)[:MAX_LISTED])
    if are_types_compatible(given, accepted.type):
        return None
    message = (
        f"{label} takes {make_printable(accepted.type)}, and output {link[1]} of node {format_value(link[0])} "
        f"({make_printable(source)}) gives {make_printable(given)}. Link an output of type "
        f"{make_printable(accepted.type)}."
    )
    return GraphFault("link_type_mismatch", message)


def are_types_compatible(given: str, accepted: str) -> bool:
    """Whether types match as in ComfyUI's ``validate_node_input``: a common type, or a wildcard on either side."""
    if given == accepted:
        return True
    given_types, accepted_types = _split_types(given), _split_types(accepted)
    if any(kind == ANY or kind.startswith(DYNAMIC_TYPE_PREFIX) for kind in given_types | accepted_types):
        return True
    return not given_types.isdisjoint(accepted_types)


def _split_types(joined: str) -> set[str]:
    return {kind.strip() for kind in joined.split(",")}
