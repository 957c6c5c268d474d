"""The widgets of a node in the editor, in its order, and the values that a file has for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.wire.shown import plain, shown
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.editor_file.file import FileNode, InexactError, Slot

VALUE_TYPES = frozenset({"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO", "COLOR", "MARKDOWN", "TEXTAREA"})
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
# Widgets that draw, record or hold several values: what they send is computed in the browser.
BROWSER_TYPES = frozenset({
    *("AUDIO_RECORD", "BOUNDING_BOX", "BOUNDING_BOXES", "CHART", "COLORS", "COMPOSITOR", "CURVE", "GALLERIA"),
    *("LOAD_3D", "LOAD_3D_ANIMATION", "PAINTER", "RANGE", "VIDEO_EDIT", "WEBCAM"),
})  # fmt: skip
BROWSER_CLASSES = frozenset({"CustomCombo", "Painter", "Load3D", "Load3DAdvanced"})  # to which the editor adds widgets
# Widgets that only show something: they send the same always, and files have no value for them.
CONSTANT_TYPES: dict[str, Any] = {"IMAGECOMPARE": ["", ""]}
CONTROLS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
MAX_UPLOAD_VALUES = 3  # of buttons and players that the editor adds to a class that takes a file


class Widget(NamedTuple):
    """A widget, which is named like its input."""

    name: str
    spec: InputSpec


class WidgetValues(NamedTuple):
    """What a file has for the widgets of a node. ``specs``: of these inputs, in the order of the editor."""

    values: dict[str, Any]
    specs: dict[str, InputSpec]


def read_widgets(node: FileNode, facts: ClassFacts) -> WidgetValues:
    """The values of a node's widgets.

    Raises:
        InexactError: they do not fit the class as it is here, or the browser would have to compute one.
    """
    if node.type in BROWSER_CLASSES:
        raise InexactError(f"The values of {plain(node.type)} are computed in the browser.")
    if not _is_order_known(facts.spec.inputs):
        raise InexactError("The nodes of this fleet do not tell the order of its inputs yet.")
    if isinstance(node.values, dict):
        return _read_by_name(facts.spec.inputs, node.values)
    return _ReadByPlace(node, facts, node.values or []).read()


class _ReadByPlace:
    """Takes the values of a list one after another."""

    def __init__(self, node: FileNode, facts: ClassFacts, values: Sequence[Any]) -> None:
        self._node, self._facts = node, facts
        self._values = _without_linked_only(facts.spec.inputs, values)
        self._place = 0
        self._found: dict[str, Any] = {}
        self._specs: dict[str, InputSpec] = {}

    def read(self) -> WidgetValues:
        self._read_inputs(self._facts.spec.inputs, "")
        if not self._place:
            return WidgetValues(
                self._found, self._specs
            )  # such as of a class that shows text: its values are what was shown
        left = self._values[self._place :]
        takes_file = any(spec.upload for spec in self._facts.spec.inputs.values())
        if len(left) > (MAX_UPLOAD_VALUES if takes_file else 0) and any(one not in (None, "") for one in left):
            raise InexactError(
                f"It has {len(self._values)} widget values, and {plain(self._node.type)} has {self._place} widgets "
                "here. The file may come from another version of the node."
            )
        return WidgetValues(self._found, self._specs)

    def _read_inputs(self, inputs: Mapping[str, InputSpec], prefix: str) -> None:
        for widget in widgets_of(inputs):
            name = prefix + widget.name
            kind = widget.spec.widget or widget.spec.type
            value = CONSTANT_TYPES[kind] if kind in CONSTANT_TYPES else self._next(name, widget.spec)
            self._found[name], self._specs[name] = value, widget.spec
            if widget.spec.controlled:
                self._skip_control(name, widget.spec)
            if widget.spec.variants is not None and isinstance(value, str):
                self._read_inputs(widget.spec.variants.get(value, {}), f"{name}.")

    def _next(self, name: str, spec: InputSpec) -> Any:
        if self._place >= len(self._values):
            return default_of(name, spec)
        value = self._values[self._place]
        check_type(name, spec, value)
        self._place += 1
        return value

    def _skip_control(self, name: str, spec: InputSpec) -> None:
        """Skips ``control_after_generate``, and the filter text that lists of options also have."""
        if self._place >= len(self._values):
            return
        control = self._values[self._place]
        if not isinstance(control, str) or control not in CONTROLS:
            raise InexactError(
                f'Behind the value of {plain(name)} there is no control such as "randomize", but {shown(control)}.'
            )
        self._place += 1
        if spec.type == "COMBO" and self._place < len(self._values):
            self._place += 1


def widgets_of(inputs: Mapping[str, InputSpec]) -> Iterator[Widget]:
    """The widgets of these inputs in the order of the editor, without what dynamic ones bring.

    Raises:
        InexactError: the browser would have to compute the value of one.
    """
    for name, spec in sorted(inputs.items(), key=lambda item: item[1].position):
        if spec.only_linked:
            continue
        kind = spec.widget or spec.type
        if kind in VALUE_TYPES or kind in CONSTANT_TYPES or spec.variants is not None:
            yield Widget(name, spec)
        elif kind in BROWSER_TYPES or kind == DYNAMIC_COMBO:
            raise InexactError(f"The value of {plain(name)} ({plain(kind)}) is computed in the browser.")
        elif spec.grown is not None and (spec.grown.input.widget or spec.grown.input.type) in VALUE_TYPES:
            raise InexactError(f"{plain(name)} has as many widgets as the browser shows.")


def loaded_inputs(node: FileNode, facts: ClassFacts) -> tuple[Slot, ...]:
    """The inputs of a node in the order that they have once the editor has loaded it: those without a widget first.

    Files of older editors have others. Where a class has inputs that depend on values, the order of the file counts.
    """
    specs = sorted(facts.spec.inputs.items(), key=lambda item: item[1].position)
    kinds = {spec.widget or spec.type for _, spec in specs}
    if facts.fixed is None or kinds & (BROWSER_TYPES | CONSTANT_TYPES.keys()) or not _is_order_known(facts.spec.inputs):
        return node.inputs
    named = {slot.name: slot for slot in node.inputs}
    shown = [
        (name, spec.type, not spec.only_linked and (spec.widget or spec.type) in VALUE_TYPES) for name, spec in specs
    ]
    ordered = [one for one in shown if not one[2]] + [one for one in shown if one[2]]
    declared = tuple(named.get(name, Slot(name, kind))._replace(type=kind) for name, kind, _ in ordered)
    return (*declared, *(slot for slot in node.inputs if slot.name not in facts.spec.inputs))


def check_type(name: str, spec: InputSpec, value: Any) -> None:
    """Whether a value can be one of this widget.

    Raises:
        InexactError: it is of another type, as where the values are of another version of the class.
    """
    kind = spec.widget or spec.type
    match kind:
        case "INT":
            is_whole = isinstance(value, float) and value.is_integer()
            fits = is_whole or (isinstance(value, int) and not isinstance(value, bool))
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
        f"It has {shown(value)} where the value of {plain(name)} ({plain(kind)}) belongs. The file may come from "
        "another version of the node."
    )


def default_of(name: str, spec: InputSpec) -> Any:
    """What the editor fills in where a file has no value.

    Raises:
        InexactError: the catalog does not tell it.
    """
    if spec.default is not None:
        return spec.default
    if spec.variants:
        return next(iter(spec.variants))
    if spec.options:
        return spec.options[0]
    raise InexactError(f"The file has no value for {plain(name)}.")


def _read_by_name(inputs: Mapping[str, InputSpec], values: Mapping[str, Any]) -> WidgetValues:
    found: dict[str, Any] = {}
    specs: dict[str, InputSpec] = {}
    todo = [("", inputs)]
    while todo:
        prefix, these = todo.pop()
        for widget in widgets_of(these):
            name = prefix + widget.name
            kind = widget.spec.widget or widget.spec.type
            if kind in CONSTANT_TYPES:
                value = CONSTANT_TYPES[kind]
            else:
                value = values[name] if name in values else default_of(name, widget.spec)
                check_type(name, widget.spec, value)
            found[name], specs[name] = value, widget.spec
            if widget.spec.variants is not None and isinstance(value, str):
                todo.append((f"{name}.", widget.spec.variants.get(value, {})))
    return WidgetValues(found, specs)


def _without_linked_only(inputs: Mapping[str, InputSpec], values: Sequence[Any]) -> Sequence[Any]:
    """Without the values of inputs that had a widget in older editors and are only linked since."""
    old = [
        dropped
        for spec in sorted(inputs.values(), key=lambda one: one.position)
        if spec.only_linked or (spec.widget or spec.type) in VALUE_TYPES
        for dropped in ((spec.only_linked, False) if spec.controlled else (spec.only_linked,))
    ]
    if len(old) != len(values) or not any(old):
        return values
    return [value for value, dropped in zip(values, old, strict=True) if not dropped]


def _is_order_known(inputs: Mapping[str, InputSpec]) -> bool:
    """Executors of older releases do not tell it: then all inputs are at place 0."""
    return len(inputs) <= 1 or any(spec.position for spec in inputs.values())
