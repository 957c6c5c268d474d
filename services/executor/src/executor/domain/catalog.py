"""What a node can run, from its ``/object_info``."""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.catalog import ClassSpec, GrownInputs, InputSpec, Scalar
from contracts.scheduler import ReportCatalog
from contracts.workflow import MAX_INTEGER, MIN_INTEGER

COMBO = "COMBO"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MAX_DEPTH = 4  # of dynamic inputs inside each other; stock classes nest two
MAX_GROWN = 100  # ComfyUI's own bound of what one input can become
MAX_DEFAULT = 200  # characters


def read_catalog(object_info: Any) -> dict[str, ClassSpec]:
    """What each class takes and gives. A class whose description makes no sense is left out: nothing can run it."""
    classes = object_info if isinstance(object_info, Mapping) else {}
    read = {name: _class(described) for name, described in classes.items()}
    return {name: spec for name, spec in read.items() if spec is not None}


def report(catalog: Mapping[str, ClassSpec]) -> ReportCatalog:
    """The catalog as it travels. The same catalog gives the same digest, in whatever order the node lists it."""
    plain = {name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in catalog.items()}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return ReportCatalog(
        digest=hashlib.sha256(text).hexdigest(), classes_zlib=base64.b64encode(zlib.compress(text, 6)).decode()
    )


def _class(described: Any) -> ClassSpec | None:
    if not isinstance(described, Mapping) or not isinstance(described.get("input"), Mapping):
        return None
    outputs = described.get("output")
    return ClassSpec(
        inputs=dict(_inputs(described["input"])),
        outputs=tuple(_type(output) for output in outputs) if isinstance(outputs, list) else (),
        output_node=described.get("output_node") is True,
        module=_module(described.get("python_module")),
    )


def _module(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _inputs(sections: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, InputSpec]]:
    """Every input that a graph may give. Hidden ones are the node's own business."""
    for section in ("optional", "required"):
        listed = sections.get(section)
        for name, described in listed.items() if isinstance(listed, Mapping) else ():
            spec = _input(described, required=section == "required", depth=depth)
            if spec is not None:
                yield name, spec


def _input(described: Any, *, required: bool, depth: int) -> InputSpec | None:
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
        multiselect=extra.get("multiselect") is True,
        default=_default(extra.get("default")),
        variants=_variants(kind, extra, depth),
        grown=_grown(kind, extra, depth),
    )


def _type(kind: Any) -> str:
    """A type's name; classic combos are written as the list of their options."""
    return kind if isinstance(kind, str) else COMBO


def _options(kind: Any, extra: Mapping[str, Any]) -> tuple[Scalar, ...] | None:
    """What may be chosen: None where the node knows more than it lists, or lists what no graph can hold."""
    listed = kind if isinstance(kind, list) else extra.get("options") if kind == COMBO else None
    if not isinstance(listed, list) or not all(map(_is_scalar, listed)):
        return None
    return tuple(listed)


def _variants(kind: Any, extra: Mapping[str, Any], depth: int) -> dict[str, dict[str, InputSpec]] | None:
    """The options of a dynamic combo with the inputs that each brings."""
    options = extra.get("options")
    if kind != DYNAMIC_COMBO or not isinstance(options, list) or depth == MAX_DEPTH:
        return None
    return {
        option["key"]: dict(_inputs(option["inputs"], depth + 1))
        for option in options
        if isinstance(option, Mapping)
        and isinstance(option.get("key"), str)
        and isinstance(option.get("inputs"), Mapping)
    }


def _grown(kind: Any, extra: Mapping[str, Any], depth: int) -> GrownInputs | None:
    """The inputs that an autogrow input can become: listed by name, or a prefix and a number from 0."""
    match extra.get("template"):
        case {"input": dict(sections), **template} if kind == AUTOGROW and depth < MAX_DEPTH:
            inner = next(_inputs(sections, depth + 1), None)
        case _:
            return None
    match template:
        case {"names": list(listed)}:
            names = tuple(name for name in listed[:MAX_GROWN] if isinstance(name, str))
        case {"prefix": str(prefix), "max": int(most)}:
            names = tuple(f"{prefix}{number}" for number in range(min(most, MAX_GROWN)))
        case _:
            return None
    least = template.get("min")
    if inner is None:
        return None
    required = least if isinstance(least, int) and inner[1].required else 0
    return GrownInputs(names=names, required=required, input=inner[1])


def _default(value: Any) -> Scalar | None:
    return value if _is_scalar(value) and not (isinstance(value, str) and len(value) > MAX_DEFAULT) else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or _bound(value) is not None


def _bound(value: Any) -> int | float | None:
    """A number that every reader of JSON reads alike; an integer of more than 64 bits becomes a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and MIN_INTEGER <= value <= MAX_INTEGER:
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
