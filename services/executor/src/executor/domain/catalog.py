"""What a node can run, from its ``/object_info``."""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler import ReportCatalog

COMBO = "COMBO"


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


def _inputs(sections: Mapping[str, Any]) -> Iterator[tuple[str, InputSpec]]:
    """Every input that a graph may give. Hidden ones are the node's own business."""
    for section in ("optional", "required"):
        listed = sections.get(section)
        for name, described in listed.items() if isinstance(listed, Mapping) else ():
            spec = _input(described, required=section == "required")
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
    return kind if isinstance(kind, str) else COMBO


def _options(kind: Any, extra: Mapping[str, Any]) -> tuple[str | int | float | bool, ...] | None:
    """What may be chosen: None where that is anything, a list of several, or only known elsewhere."""
    listed = kind if isinstance(kind, list) else extra.get("options") if kind == COMBO else None
    if not isinstance(listed, list) or extra.get("multiselect") is True:
        return None
    return tuple(option for option in listed if isinstance(option, str | int | float) and option == option)  # noqa: PLR0124 - NaN


def _bound(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
