"""What a node can run, from its ``/object_info``."""

import base64
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.decision import GraphRules
from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.registry import InputRole, is_stock_module
from contracts.scheduler import ReportCatalog
from contracts.wire.text import MAX_NAME, clean
from executor.domain.node_text import is_term

COMBO = "COMBO"
STAGING_FOLDER = "comfyfleet"  # of uploads on the node

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_OF_AN_ATTEMPT = re.compile(rf"(?:^|[/\\]){_UUID}[/\\]\d+[/\\]")
_OURS = re.compile(rf"(?:^|[/\\])(?:{STAGING_FOLDER}|{_UUID})(?:[/\\]|$)")

MAX_CLASSES = 20_000  # a node with every known pack has some 10,000
MAX_INPUTS = 2_000  # of a class
MAX_OUTPUTS = 1_000
MAX_OPTIONS = 50_000  # of an input
FEWER_OPTIONS = (10_000, 1_000, 100)  # tried in turn where a catalog is too large
MAX_TEXT_BYTES = 30 << 20  # of the whole as JSON; the scheduler reads 32 MiB
MAX_REPORT_BYTES = 12 << 20  # as it travels; NATS carries 16 MiB
MAX_INTEGER = 2**63


class NodeClasses:
    """The classes of one node, as far as jobs may use them.

    Attributes:
        flexible: classes of packs that may take any input whatever its name.
    """

    def __init__(self, specs: Mapping[str, ClassSpec], flexible: frozenset[str] = frozenset()) -> None:
        self.specs, self.flexible, self.rules = specs, flexible, GraphRules(specs)

    def roles_of(self, class_type: str) -> ClassRoles:
        """The roles of the inputs of a class; by their names alone if the node does not have it."""
        if class_type in self.specs:
            return self.rules.roles_of(class_type)
        return ClassRoles(class_type, ClassSpec(inputs={}, outputs=(), output_node=True))

    def shows(self, class_type: str) -> bool:
        """Whether nodes of this class show what they are given, which is what makes them outputs."""
        return class_type not in self.specs or self.specs[class_type].output_node


def read_catalog(object_info: Any, written: frozenset[str] = frozenset()) -> dict[str, ClassSpec]:
    """What each class takes and gives, ``MAX_CLASSES`` at most.

    Left out is what no graph could use: a class whose description makes no sense, and names and options that are not
    clean text (a model file whose name is not UTF-8), since their cleaned form would be another name. Choices of files
    are left out too, for they may belong to anybody; so are folders and files of attempts, and models that jobs may
    have written.

    Args:
        written: names of model files in the node's output folder.
    """
    classes = object_info if isinstance(object_info, Mapping) else {}
    read = ((name, _class(described)) for name, described in classes.items() if is_term(name))
    offered = ((name, _offered(name, spec, written)) for name, spec in read if spec is not None)
    return dict(islice(offered, MAX_CLASSES))


def flexible_classes(object_info: Any) -> frozenset[str]:
    """Classes of packs whose optional inputs are an empty object: such an object may take any name in ComfyUI."""
    classes = object_info if isinstance(object_info, Mapping) else {}
    return frozenset(name for name, described in classes.items() if _is_flexible(described))


def report(catalog: Mapping[str, ClassSpec]) -> ReportCatalog:
    """The catalog as it travels. The same catalog gives the same digest, in whatever order the node lists it.

    One that is too large has fewer options, and if need be fewer classes: a node that can run less is of more use than
    one that can run nothing.
    """
    plain = {name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in sorted(catalog.items())}
    made = _packed(plain)
    for most in FEWER_OPTIONS:
        if made is None:
            plain = {name: _with_fewer_options(spec, most) for name, spec in plain.items()}
            made = _packed(plain)
    while made is None:
        plain = dict(islice(plain.items(), len(plain) // 2))
        made = _packed(plain)
    return made


def _packed(plain: Mapping[str, Any]) -> ReportCatalog | None:
    """The report of a catalog, None where it is too large."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_TEXT_BYTES:
        return None
    packed = base64.b64encode(zlib.compress(text, 6)).decode()
    if len(packed) > MAX_REPORT_BYTES:
        return None
    return ReportCatalog(digest=hashlib.sha256(text).hexdigest(), classes_zlib=packed)


def _with_fewer_options(spec: dict[str, Any], most: int) -> dict[str, Any]:
    inputs = {
        name: {**one, "options": one["options"][:most]} if one.get("options") else one
        for name, one in spec["inputs"].items()
    }
    return {**spec, "inputs": inputs}


def _class(described: Any) -> ClassSpec | None:
    if not isinstance(described, Mapping) or not isinstance(described.get("input"), Mapping):
        return None
    outputs = described.get("output")
    return ClassSpec(
        inputs=dict(islice(_inputs(described["input"]), MAX_INPUTS)),
        outputs=tuple(_type(output) for output in outputs[:MAX_OUTPUTS]) if isinstance(outputs, list) else (),
        output_node=described.get("output_node") is True,
        module=_module(described.get("python_module")),
    )


def _is_flexible(described: Any) -> bool:
    if not isinstance(described, Mapping) or is_stock_module(_module(described.get("python_module"))):
        return False
    inputs = described.get("input")
    return isinstance(inputs, Mapping) and inputs.get("optional") == {}


def _offered(class_type: str, spec: ClassSpec, written: frozenset[str]) -> ClassSpec:
    """The class without the choices that nobody may make."""
    roles = ClassRoles(class_type, spec)
    changed: dict[str, InputSpec] = {}
    for name, accepted in spec.inputs.items():
        if roles.role_of(name) is InputRole.FILE:
            changed[name] = accepted.model_copy(update={"options": None, "upload": True})
        elif accepted.options:
            hidden = _OURS if roles.role_of(name) is InputRole.FOLDER else _OF_AN_ATTEMPT
            options = tuple(one for one in accepted.options if not _is_hidden(one, hidden, written))
            if len(options) != len(accepted.options):
                changed[name] = accepted.model_copy(update={"options": options})
    return spec.model_copy(update={"inputs": {**spec.inputs, **changed}}) if changed else spec


def _is_hidden(option: Any, hidden: re.Pattern[str], written: frozenset[str]) -> bool:
    return isinstance(option, str) and (option in written or hidden.search(option) is not None)


def _module(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _inputs(sections: Mapping[str, Any]) -> Iterator[tuple[str, InputSpec]]:
    """Every input that a graph may give. Hidden ones are the node's own business."""
    for section in ("optional", "required"):
        listed = sections.get(section)
        for name, described in listed.items() if isinstance(listed, Mapping) else ():
            spec = _input(described, required=section == "required") if is_term(name) else None
            if spec is not None:
                yield name, spec


def _input(described: Any, *, required: bool) -> InputSpec | None:
    match described:
        case [kind, dict(extra), *_]:
            pass
        case [kind, *_]:
            extra = {}
        case _:
            return None
    upload = any(value is True for flag, value in extra.items() if str(flag).endswith("_upload"))
    return InputSpec(
        type=_type(kind),
        required=required,
        options=None if upload else _options(kind, extra),
        min=_bound(extra.get("min")),
        max=_bound(extra.get("max")),
        upload=upload,
    )


def _type(kind: Any) -> str:
    """A type's name; classic combos are written as the list of their options."""
    return clean(kind, MAX_NAME) if isinstance(kind, str) else COMBO


def _options(kind: Any, extra: Mapping[str, Any]) -> tuple[str | int | float | bool, ...] | None:
    """What may be chosen: None where that is anything, a list of several, or only known elsewhere."""
    listed = kind if isinstance(kind, list) else extra.get("options") if kind == COMBO else None
    if not isinstance(listed, list) or extra.get("multiselect") is True:
        return None
    return tuple(islice((option for option in listed if _is_option(option)), MAX_OPTIONS))


def _is_option(option: Any) -> bool:
    if isinstance(option, float):
        return math.isfinite(option)
    return abs(option) <= MAX_INTEGER if isinstance(option, int) else is_term(option)


def _bound(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        bound = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return bound if math.isfinite(bound) else None
