"""Reads the widget values of a node from a file, in the order in which the editor creates the widgets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.wire.show_values import printable, show
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.editor_file.parse import FileNode, InexactError, Slot

VALUE_TYPES = frozenset({"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO", "COLOR", "MARKDOWN", "TEXTAREA"})
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
# Widgets that draw, record or hold several values: the browser computes what they send.
BROWSER_TYPES = frozenset({
    *("AUDIO_RECORD", "BOUNDING_BOX", "BOUNDING_BOXES", "CHART", "COLORS", "COMPOSITOR", "CURVE", "GALLERIA"),
    *("LOAD_3D", "LOAD_3D_ANIMATION", "PAINTER", "RANGE", "VIDEO_EDIT", "WEBCAM"),
})  # fmt: skip
BROWSER_CLASSES = frozenset({"CustomCombo", "Painter", "Load3D", "Load3DAdvanced"})  # the editor adds widgets to these
# Widgets that only display something: they always send the same value, and files have no value for them.
CONSTANT_TYPES: dict[str, Any] = {"IMAGECOMPARE": ["", ""]}
CONTROL_VALUES = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
MAX_UPLOAD_VALUES = 3  # values of buttons and players that the editor adds to classes that take a file


class Widget(NamedTuple):
    """A widget, with the name and the spec of its input."""

    name: str
    spec: InputSpec


class WidgetValues(NamedTuple):
    """The widget values of a node, and the specs of these inputs in the order of the editor, both by input name."""

    values: dict[str, Any]
    specs: dict[str, InputSpec]


def read_widgets(node: FileNode, facts: ClassFacts) -> WidgetValues:
    """Read the values of a node's widgets.

    Raises:
        InexactError: the values do not fit this version of the class, or the browser would have to compute one.
    """
    if node.type in BROWSER_CLASSES:
        raise InexactError(f"The values of {printable(node.type)} are computed in the browser.")
    if not _is_order_known(facts.spec.inputs):
        raise InexactError("The nodes of this fleet do not report the order of its inputs yet.")
    if isinstance(node.values, dict):
        return _read_values_by_name(facts.spec.inputs, node.values)
    return _PositionalReader(node, facts, node.values or []).read_values()


class _PositionalReader:
    """Assigns a list of values to widgets by position."""

    def __init__(self, node: FileNode, facts: ClassFacts, values: Sequence[Any]) -> None:
        self._node, self._facts = node, facts
        self._values = _drop_link_only_values(facts.spec.inputs, values)
        self._position = 0
        self._found: dict[str, Any] = {}
        self._specs: dict[str, InputSpec] = {}

    def read_values(self) -> WidgetValues:
        self._read_inputs(self._facts.spec.inputs, "")
        if not self._position:  # the class has no widgets; values are, for example, text that it displayed
            return WidgetValues(self._found, self._specs)
        left = self._values[self._position :]
        takes_file = any(spec.upload for spec in self._facts.spec.inputs.values())
        if len(left) > (MAX_UPLOAD_VALUES if takes_file else 0) and any(value not in (None, "") for value in left):
            raise InexactError(
                f"It has {len(self._values)} widget values, and {printable(self._node.type)} has {self._position} "
                "widgets here. The file may come from another version of the node."
            )
        return WidgetValues(self._found, self._specs)

    def _read_inputs(self, inputs: Mapping[str, InputSpec], prefix: str) -> None:
        for widget in iterate_widgets(inputs):
            name = prefix + widget.name
            kind = widget.spec.widget or widget.spec.type
            value = CONSTANT_TYPES[kind] if kind in CONSTANT_TYPES else self._take_value(name, widget.spec)
            self._found[name], self._specs[name] = value, widget.spec
            if widget.spec.controlled:
                self._skip_control_value(name, widget.spec)
            if widget.spec.variants is not None and isinstance(value, str):
                self._read_inputs(widget.spec.variants.get(value, {}), f"{name}.")

    def _take_value(self, name: str, spec: InputSpec) -> Any:
        if self._position >= len(self._values):
            return choose_default(name, spec)
        value = self._values[self._position]
        check_type(name, spec, value)
        self._position += 1
        return value

    def _skip_control_value(self, name: str, spec: InputSpec) -> None:
        """Skip the value of ``control_after_generate``, and the filter text that combos also have."""
        if self._position >= len(self._values):
            return
        control = self._values[self._position]
        if not isinstance(control, str) or control not in CONTROL_VALUES:
            raise InexactError(
                f"The value of {printable(name)} is followed by {show(control)} instead of a control such as "
                '"randomize".'
            )
        self._position += 1
        if spec.type == "COMBO" and self._position < len(self._values):
            self._position += 1


def iterate_widgets(inputs: Mapping[str, InputSpec]) -> Iterator[Widget]:
    """Yield the widgets of these inputs in the order of the editor, without the parts of dynamic inputs.

    Raises:
        InexactError: the browser would have to compute the value of a widget.
    """
    for name, spec in sorted(inputs.items(), key=lambda item: item[1].position):
        if spec.only_linked:
            continue
        kind = spec.widget or spec.type
        if kind in VALUE_TYPES or kind in CONSTANT_TYPES or spec.variants is not None:
            yield Widget(name, spec)
        elif kind in BROWSER_TYPES or kind == DYNAMIC_COMBO:
            raise InexactError(f"The value of {printable(name)} ({printable(kind)}) is computed in the browser.")
        elif spec.grown is not None and (spec.grown.input.widget or spec.grown.input.type) in VALUE_TYPES:
            raise InexactError(f"{printable(name)} has as many widgets as the browser shows.")


def order_inputs_as_loaded(node: FileNode, facts: ClassFacts) -> tuple[Slot, ...]:
    """Order the inputs of a node as the editor does when it loads the file: inputs without a widget first.

    Older editors wrote another order. If the class has inputs that depend on values, the order of the file is kept.
    """
    specs = sorted(facts.spec.inputs.items(), key=lambda item: item[1].position)
    kinds = {spec.widget or spec.type for _, spec in specs}
    if (
        facts.static_inputs is None
        or kinds & (BROWSER_TYPES | CONSTANT_TYPES.keys())
        or not _is_order_known(facts.spec.inputs)
    ):
        return node.inputs
    named = {slot.name: slot for slot in node.inputs}
    ordered = sorted(specs, key=lambda item: _has_value_widget(item[1]))
    declared = tuple(named.get(name, Slot(name, spec.type))._replace(type=spec.type) for name, spec in ordered)
    return (*declared, *(slot for slot in node.inputs if slot.name not in facts.spec.inputs))


def check_type(name: str, spec: InputSpec, value: Any) -> None:
    """Check that a value has the type of its widget.

    Raises:
        InexactError: the type differs, for example because the file is from another version of the class.
    """
    kind = spec.widget or spec.type
    match kind:
        case "INT":
            is_whole_number = isinstance(value, float) and value.is_integer()
            fits = is_whole_number or (isinstance(value, int) and not isinstance(value, bool))
        case "FLOAT":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "BOOLEAN":
            fits = isinstance(value, bool)
        case "COMBO":
            fits = isinstance(value, str | int | float) or (spec.multiselect and isinstance(value, list))
        case _:
            fits = isinstance(value, str)
    if value is None or fits:
        return
    raise InexactError(
        f"It has {show(value)} where the value of {printable(name)} ({printable(kind)}) belongs. The file may come "
        "from another version of the node."
    )


def choose_default(name: str, spec: InputSpec) -> Any:
    """Return the value that the editor uses if the file has none.

    Raises:
        InexactError: the catalog does not state a default.
    """
    if spec.default is not None:
        return spec.default
    if spec.variants:
        return next(iter(spec.variants))
    if spec.options:
        return spec.options[0]
    raise InexactError(f"The file has no value for {printable(name)}.")


def _read_values_by_name(inputs: Mapping[str, InputSpec], values: Mapping[str, Any]) -> WidgetValues:
    found: dict[str, Any] = {}
    specs: dict[str, InputSpec] = {}
    todo = [("", inputs)]
    while todo:
        prefix, inputs_at_prefix = todo.pop()
        for widget in iterate_widgets(inputs_at_prefix):
            name = prefix + widget.name
            kind = widget.spec.widget or widget.spec.type
            if kind in CONSTANT_TYPES:
                value = CONSTANT_TYPES[kind]
            else:
                value = values[name] if name in values else choose_default(name, widget.spec)
                check_type(name, widget.spec, value)
            found[name], specs[name] = value, widget.spec
            if widget.spec.variants is not None and isinstance(value, str):
                todo.append((f"{name}.", widget.spec.variants.get(value, {})))
    return WidgetValues(found, specs)


def _drop_link_only_values(inputs: Mapping[str, InputSpec], values: Sequence[Any]) -> Sequence[Any]:
    """Drop the values of inputs that had a widget in older editors and can only be linked now."""
    is_dropped = [
        dropped
        for spec in sorted(inputs.values(), key=lambda spec: spec.position)
        if spec.only_linked or (spec.widget or spec.type) in VALUE_TYPES
        for dropped in ((spec.only_linked, False) if spec.controlled else (spec.only_linked,))
    ]
    if len(is_dropped) != len(values) or not any(is_dropped):
        return values
    return [value for value, dropped in zip(values, is_dropped, strict=True) if not dropped]


def _has_value_widget(spec: InputSpec) -> bool:
    return not spec.only_linked and (spec.widget or spec.type) in VALUE_TYPES


def _is_order_known(inputs: Mapping[str, InputSpec]) -> bool:
    """Whether the catalog states the order of the inputs. Older executors do not: all positions are 0."""
    return len(inputs) <= 1 or any(spec.position for spec in inputs.values())
