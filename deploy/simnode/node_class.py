"""A node class: declared inputs and outputs, and the coroutine that runs it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from simnode.resources import NodeResources
from simnode.wire import Document, Workflow

Choices: TypeAlias = tuple[str, ...] | Callable[[NodeResources], list[str]]

DYNAMIC_COMBO, AUTOGROW, MATCH_TYPE = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "COMFY_MATCHTYPE_V3"

MAX_RESOLUTION = 16384
SEED_MAX = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Field:
    """One declared input.

    Attributes:
        kind: a type name (``INT``, ``IMAGE``, ``*``); the options of a combo, fixed or read from the node; or a dynamic
            input.
        options: its metadata in ``object_info`` (default, min, max, step, tooltip ...).
        group: ``required``, ``optional`` or ``hidden``.
    """

    name: str
    kind: "str | Choices | DynamicCombo | Autogrow"
    options: Mapping[str, Any] = field(default_factory=dict)
    group: str = "required"

    def list_options(self, resources: NodeResources) -> list[str] | None:
        """Return the current options of a combo; None if this is not a combo."""
        if isinstance(self.kind, str | DynamicCombo | Autogrow):
            return None
        return list(self.kind) if isinstance(self.kind, tuple) else self.kind(resources)

    @property
    def type_name(self) -> str:
        """The type that a link to this input must have."""
        if isinstance(self.kind, DynamicCombo | Autogrow):
            return self.kind.type_name
        return self.kind if isinstance(self.kind, str) else "COMBO"


@dataclass(frozen=True, slots=True)
class DynamicCombo:
    """A combo whose options have inputs of their own: ``y`` of ``x`` is named ``x.y``."""

    options: Mapping[str, tuple[Field, ...]]
    type_name: str = DYNAMIC_COMBO


@dataclass(frozen=True, slots=True)
class Autogrow:
    """An input that expands to a number of inputs, named by a prefix and a number: ``images.image0``."""

    field: Field
    prefix: str
    min_count: int
    max_count: int
    type_name: str = AUTOGROW


@dataclass(frozen=True, slots=True)
class NodeResult:
    """The result of a node call: one value per declared output, and the message for clients (None for no message).

    Attributes:
        expand: nodes that this one expands into, by id.
    """

    outputs: tuple[Any, ...] = ()
    ui: Document | None = None
    expand: Workflow | None = None


class Call:
    """One call of a node: its inputs, and functions for its side effects.

    Attributes:
        inputs: resolved values by input name.
        prompt: the graph as executed, for the PNG ``prompt`` chunk.
        pnginfo: further PNG text chunks, or None.
        resources: settings, models and files of the node.
        report_progress: reports progress and checks for interrupts. Takes the value, the maximum, and a function that
            returns a preview, or None.
        send_text: sends a line of text about the node to every socket.
        send_image: sends the owner of the prompt an image in a frame of type 1.
        exit_process: ends the process immediately with an exit status.
    """

    def __init__(
        self,
        *,
        node_id: str,
        inputs: Document,
        prompt: Workflow,
        pnginfo: Document | None,
        resources: NodeResources,
        report_progress: Callable[[float, float, Callable[[], bytes] | None], Awaitable[None]],
        send_text: Callable[[str], None],
        send_image: Callable[[bytes], None],
        exit_process: Callable[[int], None],
    ) -> None:
        self.node_id = node_id
        self.inputs = inputs
        self.prompt = prompt
        self.pnginfo = pnginfo
        self.resources = resources
        self.report_progress = report_progress
        self.send_text = send_text
        self.send_image = send_image
        self.exit_process = exit_process

    def __getitem__(self, name: str) -> Any:
        return self.inputs[name]


Run: TypeAlias = Callable[[Call], Awaitable[NodeResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """A class as ``object_info`` lists it and the worker runs it.

    Attributes:
        schema_v3: declared with ComfyUI's newer schema, which lists combos and flags in another format.
        validate: the class's own check of one input: (input name, check). The check returns True or a reason. It
            replaces the checks of range and options for that input.
        validates_all: the class's check takes ``**kwargs``, so it replaces the range and option checks of all inputs.
        fingerprint: part of the cache key besides class and inputs, for example the hash of a file.
        has_delay: whether the node waits ``node_s`` before it works; nodes with progress take their time per step.
    """

    name: str
    run: Run
    inputs: tuple[Field, ...] = ()
    outputs: tuple[str, ...] = ()
    output_names: tuple[str, ...] | None = None
    output_node: bool = False
    category: str = "sd"
    module: str = "nodes"
    display_name: str | None = None
    description: str = ""
    search_aliases: tuple[str, ...] = ()
    output_tooltips: tuple[str, ...] | None = None
    deprecated: bool = False
    essentials: str | None = None
    schema_v3: bool = False
    validate: tuple[str, Callable[[Any, NodeResources], bool | str]] | None = None
    validates_all: bool = False
    fingerprint: Callable[[Document, NodeResources], str] | None = None
    has_delay: bool = True

    def list_visible_inputs(self) -> tuple[Field, ...]:
        """Return the inputs that a workflow can set, as they are declared."""
        return tuple(one for one in self.inputs if one.group != "hidden")

    def expand_inputs(self, given: Document) -> tuple[Field, ...]:
        """Return inputs that a workflow with these values can set: ComfyUI's ``get_finalized_class_inputs``."""
        return tuple(_expand_inputs(self.list_visible_inputs(), given, ""))


def _expand_inputs(fields: Iterable[Field], given: Document, prefix: str) -> Iterator[Field]:
    for one in fields:
        name = prefix + one.name
        if isinstance(one.kind, Autogrow):
            for number in range(one.kind.max_count):
                group = one.kind.field.group if number < one.kind.min_count else "optional"
                yield replace(one.kind.field, name=f"{name}.{one.kind.prefix}{number}", group=group)
        elif isinstance(one.kind, DynamicCombo):
            chosen = given.get(name)
            if isinstance(chosen, str) and chosen in one.kind.options:
                yield replace(one, name=name)
                yield from _expand_inputs(one.kind.options[chosen], given, f"{name}.")
        else:
            yield replace(one, name=name) if prefix else one


def run_inline(work: Callable[[Call], NodeResult]) -> Run:
    """Wrap short work in a coroutine that runs it in the event loop."""

    async def run(call: Call) -> NodeResult:
        return work(call)

    return run


def run_in_thread(work: Callable[[Call], NodeResult]) -> Run:
    """Wrap work on images or files in a coroutine that runs it in a thread, so that it does not block the server."""

    async def run(call: Call) -> NodeResult:
        return await asyncio.to_thread(work, call)

    return run


def link_input(name: str, kind: str, tooltip: str | None = None) -> Field:
    """Return a required input that accepts only a link."""
    return Field(name, kind, {} if tooltip is None else {"tooltip": tooltip})


def build_hidden_metadata_inputs() -> tuple[Field, ...]:
    """Return the two hidden inputs of nodes that write the workflow into their files."""
    return (Field("prompt", "PROMPT", group="hidden"), Field("extra_pnginfo", "EXTRA_PNGINFO", group="hidden"))
