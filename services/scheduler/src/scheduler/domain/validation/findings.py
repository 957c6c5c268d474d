"""Findings of a graph check, before they become errors for the sender."""

from collections.abc import Sequence
from typing import NamedTuple

from contracts.catalog import Scalar


class GraphFault(NamedTuple):
    """What is wrong with a graph, a node or an input.

    Attributes:
        allowed: valid values, if there are few.
        given_name, choices: the given name and the valid names, if suggesting similar names would help.
        subject: start of the message, if the rest depends on the valid names.
    """

    code: str
    message: str
    allowed: tuple[Scalar, ...] | None = None
    given_name: str | None = None
    choices: Sequence[Scalar] = ()
    subject: str | None = None


class Finding(NamedTuple):
    """A fault with its location: an input of a node, a node, or the whole graph."""

    fault: GraphFault
    node_id: str | None = None
    input: str | None = None
