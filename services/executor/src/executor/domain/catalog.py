"""Parses a node's ``/object_info`` into the catalog of its classes."""

import base64
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from contracts.catalog import AutogrowInputs, ClassSpec, InputSpec, Scalar
from contracts.graph_policy.decision import GraphRules
from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.registry import InputRole, is_stock_module
from contracts.scheduler.heartbeats import ReportCatalog
from contracts.wire.text import MAX_NAME, clean_text
from contracts.workflow import MAX_INTEGER, MIN_INTEGER
from executor.domain.node_text import is_valid_name

COMBO = "COMBO"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
STAGING_FOLDER = "comfyfleet"  # folder of uploads on the node

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ATTEMPT_FOLDER = re.compile(rf"(?:^|[/\\]){_UUID}[/\\]\d+[/\\]")
_OWN_FOLDER = re.compile(rf"(?:^|[/\\])(?:{STAGING_FOLDER}|{_UUID})(?:[/\\]|$)")

MAX_CLASSES = 20_000  # classes; a node with every known pack has some 10,000
MAX_INPUTS = 2_000  # inputs of a class, including those of its dynamic inputs
MAX_OUTPUTS = 1_000
MAX_OPTIONS = 50_000  # options of an input
REDUCED_OPTION_COUNTS = (10_000, 1_000, 100)  # options of an input, tried in turn for a catalog that is too large
MAX_TEXT_BYTES = 30 << 20  # bytes of the catalog as JSON; the scheduler accepts 32 MiB
MAX_REPORT_BYTES = 12 << 20  # bytes of the compressed catalog; a NATS message has at most 16 MiB
MAX_DEPTH = 4  # nested dynamic inputs; stock classes nest two
MAX_AUTOGROW_INPUTS = 100  # ComfyUI's own limit of an autogrow input
MAX_DEFAULT = 200  # characters


class NodeClasses:
    """The classes of one node that jobs may use.

    Attributes:
        with_undeclared_inputs: names of custom classes that accept undeclared inputs.
        keeping_png_info: names of classes whose results may embed a job's ``extra_pnginfo`` and be cached for other
            jobs.
    """

    def __init__(
        self,
        specs: Mapping[str, ClassSpec],
        with_undeclared_inputs: frozenset[str] = frozenset(),
        keeping_png_info: frozenset[str] = frozenset(),
    ) -> None:
        self.specs, self.with_undeclared_inputs, self.rules = specs, with_undeclared_inputs, GraphRules(specs)
        self.keeping_png_info = keeping_png_info

    def get_class_roles(self, class_type: str) -> ClassRoles:
        """Return the roles of a class's inputs, judged only by their names if the node does not have the class."""
        if class_type in self.specs:
            return self.rules.get_class_roles(class_type)
        return ClassRoles(class_type, ClassSpec(inputs={}, outputs=(), output_node=True))

    def is_output_class(self, class_type: str) -> bool:
        """Whether the class is an output node."""
        return class_type not in self.specs or self.specs[class_type].output_node


def parse_catalog(object_info: Any, written_models: frozenset[str] = frozenset()) -> dict[str, ClassSpec]:
    """Return the inputs and outputs of each class, at most ``MAX_CLASSES``.

    Malformed declarations are omitted, and so are names and options that are not valid text, because no graph could
    use them. Options that name files are omitted because the files may belong to a tenant, as are attempt folders and
    models that jobs may have written.

    Args:
        written_models: names of model files in the node's output folder.
    """
    classes = object_info if isinstance(object_info, Mapping) else {}
    parsed = ((name, _parse_class(described)) for name, described in classes.items() if is_valid_name(name))
    specs = ((name, _remove_hidden_options(name, spec, written_models)) for name, spec in parsed if spec is not None)
    return dict(islice(specs, MAX_CLASSES))


def find_classes_with_undeclared_inputs(object_info: Any) -> frozenset[str]:
    """Return custom classes whose optional inputs are an empty object: in ComfyUI it may accept any name."""
    classes = object_info if isinstance(object_info, Mapping) else {}
    return frozenset(name for name, described in classes.items() if _accepts_undeclared_inputs(described))


def find_classes_keeping_png_info(object_info: Any) -> frozenset[str]:
    """Return classes that read ``extra_pnginfo``, except output nodes.

    Output nodes get a unique prefix per attempt, so their results are never reused for another job.
    """
    classes = object_info if isinstance(object_info, Mapping) else {}
    with_undeclared_inputs = find_classes_with_undeclared_inputs(object_info)
    return frozenset(
        name
        for name, described in classes.items()
        if _reads_png_info(described) and (described.get("output_node") is not True or name in with_undeclared_inputs)
    )


def _reads_png_info(described: Any) -> bool:
    inputs = described.get("input") if isinstance(described, Mapping) else None
    hidden = inputs.get("hidden") if isinstance(inputs, Mapping) else None
    values = hidden.values() if isinstance(hidden, Mapping) else hidden if isinstance(hidden, list) else ()
    return any(value in ("EXTRA_PNGINFO", ["EXTRA_PNGINFO"]) for value in values)


def build_catalog_report(catalog: Mapping[str, ClassSpec]) -> ReportCatalog:
    """Return the catalog message. Equal catalogs have equal digests, whatever the order of the node's listing.

    Options, and if necessary classes, of an oversized catalog are left out: a node with a partial catalog is more
    useful than one without.
    """
    plain = {name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in sorted(catalog.items())}
    report = _compress_report(plain)
    for max_options in REDUCED_OPTION_COUNTS:
        if report is None:
            plain = {name: _limit_class_options(spec, max_options) for name, spec in plain.items()}
            report = _compress_report(plain)
    while report is None:
        plain = dict(islice(plain.items(), len(plain) // 2))
        report = _compress_report(plain)
    return report


def _compress_report(plain: Mapping[str, Any]) -> ReportCatalog | None:
    """Return the compressed report, None when it is too large."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_TEXT_BYTES:
        return None
    packed = base64.b64encode(zlib.compress(text, 6)).decode()
    if len(packed) > MAX_REPORT_BYTES:
        return None
    return ReportCatalog(digest=hashlib.sha256(text).hexdigest(), classes_zlib=packed)


def _limit_class_options(spec: dict[str, Any], max_options: int) -> dict[str, Any]:
    return {**spec, "inputs": _limit_options(spec["inputs"], max_options)}


def _limit_options(inputs: dict[str, Any], max_options: int) -> dict[str, Any]:
    """Return the inputs with only their first options, including those inside dynamic inputs."""
    return {name: _keep_first_options(spec, max_options) for name, spec in inputs.items()}


def _keep_first_options(spec: dict[str, Any], max_options: int) -> dict[str, Any]:
    shorter = dict(spec)
    if spec.get("options"):
        shorter["options"] = spec["options"][:max_options]
    if spec.get("variants"):
        first = islice(spec["variants"].items(), max_options)
        shorter["variants"] = {key: _limit_options(inputs, max_options) for key, inputs in first}
    if spec.get("grown"):
        grown = spec["grown"]
        shorter["grown"] = {**grown, "input": _keep_first_options(grown["input"], max_options)}
    return shorter


def _parse_class(described: Any) -> ClassSpec | None:
    if not isinstance(described, Mapping) or not isinstance(described.get("input"), Mapping):
        return None
    outputs = described.get("output")
    inputs = dict(islice(_parse_inputs(described["input"], order=described.get("input_order")), MAX_INPUTS))
    if sum(map(_count_inputs, inputs.values())) > MAX_INPUTS:
        inputs = {name: spec.model_copy(update={"variants": None, "grown": None}) for name, spec in inputs.items()}
    return ClassSpec(
        inputs=inputs,
        outputs=tuple(_parse_type(output) for output in outputs[:MAX_OUTPUTS]) if isinstance(outputs, list) else (),
        output_node=described.get("output_node") is True,
        module=_parse_module(described.get("python_module")),
    )


def _accepts_undeclared_inputs(described: Any) -> bool:
    if not isinstance(described, Mapping) or is_stock_module(_parse_module(described.get("python_module"))):
        return False
    inputs = described.get("input")
    return isinstance(inputs, Mapping) and inputs.get("optional") == {}


def _count_inputs(spec: InputSpec) -> int:
    """Count an input and, if it is dynamic, all inputs that it can expand to."""
    inner = sum(_count_inputs(inner) for variant in (spec.variants or {}).values() for inner in variant.values())
    grown = len(spec.grown.names) * _count_inputs(spec.grown.input) if spec.grown is not None else 0
    return 1 + inner + grown


def _remove_hidden_options(class_type: str, spec: ClassSpec, written_models: frozenset[str]) -> ClassSpec:
    """Return the class without options that no tenant may choose."""
    roles = ClassRoles(class_type, spec)
    inputs = {
        name: _remove_hidden_input_options(name, accepted, roles, written_models)
        for name, accepted in spec.inputs.items()
    }
    changed = any(inputs[name] is not accepted for name, accepted in spec.inputs.items())
    return spec.model_copy(update={"inputs": inputs}) if changed else spec


def _remove_hidden_input_options(
    name: str, accepted: InputSpec, roles: ClassRoles, written_models: frozenset[str]
) -> InputSpec:
    """Return the input without options that no tenant may choose, also inside dynamic inputs.

    Args:
        name: full name of the input.
    """
    changes: dict[str, Any] = {}
    role = roles.find_role(name)
    if role is InputRole.FILE or accepted.upload:
        changes |= {"options": None, "upload": True, "default": "" if accepted.default == "" else None}
    else:
        hidden = _OWN_FOLDER if role is InputRole.FOLDER else _ATTEMPT_FOLDER
        options = tuple(option for option in accepted.options or () if not _is_hidden(option, hidden, written_models))
        if len(options) != len(accepted.options or ()):
            changes["options"] = options
        if _is_hidden(accepted.default, hidden, written_models):
            changes["default"] = None
    if accepted.variants is not None:
        changes["variants"] = {
            key: {
                inner: _remove_hidden_input_options(f"{name}.{inner}", spec, roles, written_models)
                for inner, spec in inputs.items()
            }
            for key, inputs in accepted.variants.items()
        }
    if accepted.grown is not None and accepted.grown.names:
        inner = _remove_hidden_input_options(
            f"{name}.{accepted.grown.names[0]}", accepted.grown.input, roles, written_models
        )
        changes["grown"] = accepted.grown.model_copy(update={"input": inner})
    return accepted.model_copy(update=changes) if changes else accepted


def _is_hidden(option: Any, hidden: re.Pattern[str], written_models: frozenset[str]) -> bool:
    return isinstance(option, str) and (option in written_models or hidden.search(option) is not None)


def _parse_module(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _parse_inputs(sections: Mapping[str, Any], depth: int = 0, order: Any = None) -> Iterator[tuple[str, InputSpec]]:
    """Yield every input that a graph may set; hidden inputs are left out.

    Args:
        order: names by section in the editor's order, if it differs from that of the sections.
    """
    positions = _find_input_positions(sections, order)
    for section in ("optional", "required"):
        listed = sections.get(section)
        for name, described in listed.items() if isinstance(listed, Mapping) else ():
            spec = (
                _parse_input(name, described, required=section == "required", depth=depth)
                if is_valid_name(name)
                else None
            )
            if spec is not None:
                yield name, spec.model_copy(update={"position": positions[name]})


def _find_input_positions(sections: Mapping[str, Any], order: Any) -> dict[str, int]:
    """Return the position of each input in the editor: required inputs first, listed ones before others."""
    names: dict[str, None] = {}
    for section in ("required", "optional"):
        listed = sections.get(section)
        if isinstance(listed, Mapping):
            first = order.get(section) if isinstance(order, Mapping) else None
            names |= dict.fromkeys(
                name for name in (first if isinstance(first, list) else ()) if _is_listed(name, listed)
            )
            names |= dict.fromkeys(listed)
    return {name: position for position, name in enumerate(names)}


def _is_listed(name: Any, listed: Mapping[str, Any]) -> bool:
    return isinstance(name, str) and name in listed


def _parse_input(name: str, described: Any, *, required: bool, depth: int) -> InputSpec | None:
    match described:
        case [kind, dict(extra), *_]:
            pass
        case [kind, *_]:
            extra = {}
        case _:
            return None
    upload = any(value is True for flag, value in extra.items() if str(flag).endswith("_upload"))
    return InputSpec(
        type=_parse_type(kind),
        required=required,
        options=None if upload else _parse_options(kind, extra),
        min=_parse_bound(extra.get("min")),
        max=_parse_bound(extra.get("max")),
        upload=upload,
        multiselect=extra.get("multiselect") is True,
        default=_parse_default(extra.get("default")),
        variants=_parse_variants(kind, extra, depth),
        grown=_parse_autogrow(kind, extra, depth),
        only_linked=extra.get("forceInput") is True,
        widget=clean_text(extra["widgetType"], MAX_NAME) if isinstance(extra.get("widgetType"), str) else None,
        controlled=_is_controlled(name, kind, extra, depth),
        dynamic_prompts=extra.get("dynamicPrompts") is True,
    )


def _is_controlled(name: str, kind: Any, extra: Mapping[str, Any], depth: int) -> bool:
    """Whether the editor adds a widget that changes the value after each run.

    By default it does so for seeds, except inside dynamic inputs.
    """
    declared = extra.get("control_after_generate")
    is_seed = name in {"seed", "noise_seed"} and kind == "INT" and depth == 0
    return is_seed if declared is None else bool(declared)


def _parse_type(kind: Any) -> str:
    """Return a type's name; classic combos declare their list of options instead."""
    return clean_text(kind, MAX_NAME) if isinstance(kind, str) else COMBO


def _parse_options(kind: Any, extra: Mapping[str, Any]) -> tuple[Scalar, ...] | None:
    """Return the valid options; None if any value is valid, or the options are unknown or not plain values."""
    listed = kind if isinstance(kind, list) else extra.get("options") if kind == COMBO else None
    if not isinstance(listed, list) or any(isinstance(option, list | dict) for option in listed):
        return None
    return tuple(islice((option for option in listed if _is_option(option)), MAX_OPTIONS))


def _is_option(option: Any) -> bool:
    if isinstance(option, float):
        return math.isfinite(option)
    return MIN_INTEGER <= option <= MAX_INTEGER if isinstance(option, int) else is_valid_name(option)


def _parse_variants(kind: Any, extra: Mapping[str, Any], depth: int) -> dict[str, dict[str, InputSpec]] | None:
    """Return the options of a dynamic combo, each with its inputs."""
    options = extra.get("options")
    if kind != DYNAMIC_COMBO or not isinstance(options, list) or depth == MAX_DEPTH:
        return None
    return {
        option["key"]: dict(islice(_parse_inputs(option["inputs"], depth + 1), MAX_INPUTS))
        for option in options[:MAX_INPUTS]
        if isinstance(option, Mapping)
        and is_valid_name(option.get("key"))
        and isinstance(option.get("inputs"), Mapping)
    }


def _parse_autogrow(kind: Any, extra: Mapping[str, Any], depth: int) -> AutogrowInputs | None:
    """Return the inputs that an autogrow input can become: listed by name, or a prefix and a number from 0."""
    match extra.get("template"):
        case {"input": dict(sections), **template} if kind == AUTOGROW and depth < MAX_DEPTH:
            inner = next(_parse_inputs(sections, depth + 1), None)
        case _:
            return None
    match template:
        case {"names": list(listed)}:
            names = tuple(name for name in listed[:MAX_AUTOGROW_INPUTS] if is_valid_name(name))
        case {"prefix": str(prefix), "max": int(count)} if is_valid_name(prefix):
            names = tuple(f"{prefix}{number}" for number in range(min(count, MAX_AUTOGROW_INPUTS)))
        case _:
            return None
    min_count = template.get("min")
    if inner is None:
        return None
    required = min_count if isinstance(min_count, int) and inner[1].required else 0
    return AutogrowInputs(names=names, required=required, input=inner[1])


def _parse_default(value: Any) -> Scalar | None:
    return value if _is_option(value) and not (isinstance(value, str) and len(value) > MAX_DEFAULT) else None


def _parse_bound(value: Any) -> int | float | None:
    """Return a bound that every JSON parser can represent: an integer beyond 64 bits becomes a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and MIN_INTEGER <= value <= MAX_INTEGER:
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
