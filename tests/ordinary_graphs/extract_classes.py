"""Writes ``classes.json``: the classes of the corpus, extracted from ``object_info`` responses.

    python -m tests.ordinary_graphs.extract_classes OBJECT_INFO.json...

Name the file of the newest ComfyUI first. Run it twice after classes were added.

Only names, types, bounds and defaults are stored, and the options that a graph uses.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from executor.domain.catalog import parse_catalog
from tests.ordinary_graphs.builder import CLASSES, MODEL_SUFFIXES, OrdinaryGraph
from tests.ordinary_graphs.corpus import ordinary_graphs

MAX_TEXT = 40  # maximum length of a stored default; longer defaults are prose

# ComfyUI does not flag these, although they accept a file of the input folder.
UNFLAGGED_UPLOADS = frozenset({("LoadLatent", "latent")})


def extract_classes(answers: Iterable[Mapping[str, Any]], graphs: Iterable[OrdinaryGraph]) -> dict[str, Any]:
    """Return each class of the graphs as the first response with it describes it."""
    known: dict[str, Any] = {}
    used = used_values(graphs)
    for answer in answers:
        for name in sorted(used.keys() & answer.keys() - known.keys()):
            known[name] = _class(name, answer[name], used[name])
    if missing := used.keys() - known.keys():
        raise SystemExit(f"no answer has these classes: {', '.join(sorted(missing))}")
    return dict(sorted(known.items()))


def used_values(graphs: Iterable[OrdinaryGraph]) -> dict[str, dict[str, set[Any]]]:
    """Return every text and number that a graph sets, by class and input."""
    used: dict[str, dict[str, set[Any]]] = {}
    for graph in graphs:
        for node in graph.workflow.values():
            inputs = used.setdefault(node["class_type"], {})
            for name, value in node["inputs"].items():
                if isinstance(value, str | int | float):
                    inputs.setdefault(name, set()).add(value)
    return used


def _class(name: str, described: Mapping[str, Any], used: Mapping[str, set[Any]]) -> dict[str, Any]:
    return {
        "module": described["python_module"],
        "inputs": dict(_inputs(name, described["input"], used)),
        "outputs": [kind if isinstance(kind, str) else "COMBO" for kind in described["output"]],
        "output_node": described["output_node"],
    }


def _inputs(
    class_name: str, sections: Mapping[str, Any], used: Mapping[str, set[Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for section in ("required", "optional"):
        for name, described in sections.get(section, {}).items():
            kind, extra = described[0], described[1] if len(described) > 1 else {}
            fact: dict[str, Any] = {
                "type": kind if isinstance(kind, str) else "COMBO",
                "required": section == "required",
            }
            fact |= _dynamic(fact["type"], extra)
            upload = (class_name, name) in UNFLAGGED_UPLOADS
            if upload or any(flag.endswith("_upload") and extra[flag] is True for flag in extra):
                fact["upload"] = True
            elif fact["type"] == "COMBO":
                fact |= _choice(
                    kind if isinstance(kind, list) else extra.get("options", []), used.get(name, set()), extra
                )
            else:
                fact |= {bound: extra[bound] for bound in ("min", "max") if bound in extra}
                fact |= _default(fact["type"], extra)
            yield name, fact


def _dynamic(kind: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a dynamic input expands to, in the format of catalogs."""
    if kind not in {"COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"}:
        return {}
    described = {"X": {"input": {"required": {"x": [kind, extra]}}}}
    spec = parse_catalog(described)["X"].inputs["x"].model_dump(mode="json", exclude_defaults=True)
    return {part: spec[part] for part in ("variants", "grown") if part in spec}


def _choice(options: list[Any], used: set[Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    files = sorted(value for value in used if isinstance(value, str) and value.endswith(MODEL_SUFFIXES))
    if files:
        return {"options": files + sorted(used & set(options) - set(files), key=str)}
    default = extra.get("default", options[0] if options else None)
    found = [option for option in options if option in used or option == default]
    return {"options": list(dict.fromkeys(found)), **({} if default is None else {"default": default})}


def _default(kind: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    default = extra.get("default", False if kind == "BOOLEAN" else None)
    if extra.get("forceInput") or kind not in {"INT", "FLOAT", "BOOLEAN", "STRING"} or default is None:
        return {}
    return {} if isinstance(default, str) and len(default) > MAX_TEXT else {"default": default}


if __name__ == "__main__":
    found = extract_classes([json.loads(Path(name).read_text()) for name in sys.argv[1:]], ordinary_graphs())
    rows = (f"{json.dumps(name)}: {json.dumps(fact, separators=(',', ':'))}" for name, fact in found.items())
    CLASSES.write_text("{\n" + ",\n".join(rows) + "\n}\n")
