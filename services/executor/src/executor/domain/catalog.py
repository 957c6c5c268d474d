"""What a node can run, from its ``/object_info``."""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler import ReportCatalog
from contracts.wire.text import MAX_NAME, clean
from executor.domain.node_text import is_term

COMBO = "COMBO"

MAX_CLASSES = 20_000  # a node with every known pack has some 10,000
MAX_INPUTS = 2_000  # of a class
MAX_OUTPUTS = 1_000
MAX_OPTIONS = 50_000  # of an input
FEWER_OPTIONS = (10_000, 1_000, 100)  # tried in turn where a catalog is too large
MAX_TEXT_BYTES = 30 << 20  # of the whole as JSON; the scheduler reads 32 MiB
MAX_REPORT_BYTES = 12 << 20  # as it travels; NATS carries 16 MiB
MAX_INTEGER = 2**63


def read_catalog(object_info: Any) -> dict[str, ClassSpec]:
    """What each class takes and gives.

    Left out is what no graph could use: a class whose description makes no sense, and names and options that are not
    clean text (a model file whose name is not UTF-8), since their cleaned form would be another name.
    """
    classes = object_info if isinstance(object_info, Mapping) else {}
    read = ((name, _class(described)) for name, described in classes.items() if is_term(name))
    return dict(islice(((name, spec) for name, spec in read if spec is not None), MAX_CLASSES))


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
