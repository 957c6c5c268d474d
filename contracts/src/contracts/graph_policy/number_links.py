"""Finds links that can pass something other than a number to an input that takes a number.

ComfyUI does not check the type of an output that has the type of an input, such as that of ``ComfySwitchNode``. So text
or an image can reach an input that takes a number, and from there an expression: ``"%9999999999d" % 1`` is a text of
10 GB, and the product of two images can have more pixels than both.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.registry import is_stock_module
from contracts.workflow import LITERAL_WRAPPER, Graph, is_link

_NUMBER_TYPES = frozenset({"INT", "FLOAT", "BOOLEAN"})
_DYNAMIC_PREFIX = "COMFY_"


@lru_cache(maxsize=1_000)
def is_number_type(types: str) -> bool:
    """Whether a type of an input or output, or each of several comma-separated ones, is a number or a boolean."""
    return all(kind.strip() in _NUMBER_TYPES for kind in types.split(","))


def is_number(value: object) -> bool:
    """Whether a literal, as it is or wrapped, is a number or a boolean."""
    inner = value[LITERAL_WRAPPER] if isinstance(value, dict) and LITERAL_WRAPPER in value else value
    return isinstance(inner, bool | int | float)


class NumberLinks:
    """Determines which links of a graph can pass only numbers. All checks together take time linear in its size.

    What classes of custom packs output is unknown; it counts as a number.
    """

    def __init__(self, graph: Graph, classes: Mapping[str, ClassSpec]) -> None:
        self._graph, self._classes = graph, classes

    def passes_only_numbers(self, link: list[Any]) -> bool:
        """Whether a link passes only numbers. True for a broken link."""
        output = self._find_other_type(link)
        return output is None or (output.startswith(_DYNAMIC_PREFIX) and link[0] not in self._passing_other_values)

    @cached_property
    def _passing_other_values(self) -> set[str]:
        """Nodes that can pass on a value that is not a number, directly or from another such node."""
        consumers: dict[str, list[str]] = {}
        todo: list[str] = []
        for node_id, value in self._iterate_passed_values():
            if not is_link(value):
                if not is_number(value):
                    todo.append(node_id)
                continue
            output = self._find_other_type(value)
            if output is None:
                continue
            if output.startswith(_DYNAMIC_PREFIX):
                consumers.setdefault(value[0], []).append(node_id)
            else:
                todo.append(node_id)
        found: set[str] = set()
        while todo:
            node_id = todo.pop()
            if node_id not in found:
                found.add(node_id)
                todo += consumers.get(node_id, ())
        return found

    def _iterate_passed_values(self) -> Iterator[tuple[str, Any]]:
        """Yield node and value of the inputs whose type the node's output can have."""
        for node_id, node in self._graph.items():
            spec = self._classes.get(node.class_type)
            if spec is None or not any(output.startswith(_DYNAMIC_PREFIX) for output in spec.outputs):
                continue
            for name, value in node.inputs.items():
                accepted = spec.inputs.get(name)
                if value is not None and (accepted is None or accepted.type.startswith(_DYNAMIC_PREFIX)):
                    yield node_id, value

    def _find_other_type(self, link: list[Any]) -> str | None:
        """Return the type of the linked output; None if it counts as a number or does not exist."""
        node, slot = self._graph.get(link[0]), link[1]
        spec = self._classes.get(node.class_type) if node is not None else None
        if spec is None or type(slot) is not int or not 0 <= slot < len(spec.outputs):
            return None
        output = spec.outputs[slot]
        return None if is_number_type(output) or not is_stock_module(spec.module) else output


def takes_only_numbers(accepted: InputSpec) -> bool:
    """Whether an input takes only numbers."""
    return accepted.options is None and accepted.variants is None and is_number_type(accepted.type)
