"""What is wrong with a graph, before it is worded for a person."""

from collections.abc import Sequence
from typing import NamedTuple

from contracts.catalog import Scalar


class Fault(NamedTuple):
    """What is wrong with one input.

    Attributes:
        allowed: what would be valid, where that is short.
        sought, choices: the name that was given and the names that there are, where the nearest of these would help.
    """

    code: str
    message: str
    allowed: tuple[Scalar, ...] | None = None
    sought: str | None = None
    choices: Sequence[Scalar] = ()


class Finding(NamedTuple):
    """A fault and its place: an input of a node, a node, or the whole graph."""

    fault: Fault
    node_id: str | None = None
    input: str | None = None
