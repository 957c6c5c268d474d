"""Intended differences between admission and a node: graphs that a node accepts but fails on or misinterprets."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.differential.bases import ObjectInfo, Workflow
from tests.differential.judgements import BREAKDOWNS, CLASS_ERRORS, Judgement

DYNAMIC = ("COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3")


def find_intended_difference(workflow: Workflow, theirs: Judgement, ours: Judgement, info: ObjectInfo) -> str | None:
    """Return why the two may differ here; None if they must not."""
    return next((reason for reason, applies in _REASONS.items() if applies(workflow, theirs, ours, info)), None)


Applies = Callable[[Workflow, Judgement, Judgement, ObjectInfo], bool]


def _is_refused_more(codes: set[str]) -> Applies:
    def applies(_workflow: Workflow, theirs: Judgement, ours: Judgement, _info: ObjectInfo) -> bool:
        return not theirs.kinds and ours.kinds <= codes

    return applies


def _is_null(workflow: Workflow, theirs: Judgement, ours: Judgement, _info: ObjectInfo) -> bool:
    places = theirs.places | ours.places
    return bool(places) and all(name and workflow[node]["inputs"].get(name, ...) is None for node, name in places)


def _is_dynamic(workflow: Workflow, theirs: Judgement, ours: Judgement, info: ObjectInfo) -> bool:
    """Whether every input that our errors name belongs to a dynamic combo."""
    return not theirs.kinds and all(
        name and _declared(info, workflow[node]["class_type"], name)[0] in DYNAMIC for node, name in ours.places
    )


def _is_wrapped_link(workflow: Workflow, theirs: Judgement, ours: Judgement, _info: ObjectInfo) -> bool:
    values = [workflow[node]["inputs"][name] for node, name in ours.places if name]
    return not theirs.kinds and any(isinstance(value, dict) for value in values) and ours.kinds == {"broken_link"}


def _is_breakdown(_workflow: Workflow, theirs: Judgement, ours: Judgement, _info: ObjectInfo) -> bool:
    return bool(theirs.kinds & BREAKDOWNS) and bool(ours.kinds)


def _is_cycle(_workflow: Workflow, theirs: Judgement, ours: Judgement, info: ObjectInfo) -> bool:
    silent = _is_old(info) and theirs.kinds <= {"prompt_outputs_failed_validation"}  # and silently skips an output
    return ours.kinds == {"workflow_cycle"} and (silent or ours.places <= theirs.places)


def _is_newer_combo(workflow: Workflow, theirs: Judgement, ours: Judgement, info: ObjectInfo) -> bool:
    if theirs.kinds or ours.kinds != {"value_not_in_list"} or not _is_old(info):
        return False
    return all(name and _declared(info, workflow[node]["class_type"], name)[0] == "COMBO" for node, name in ours.places)


def _is_custom(workflow: Workflow, theirs: Judgement, _ours: Judgement, info: ObjectInfo) -> bool:
    classes = [workflow[node]["class_type"] for node, _ in theirs.places]
    return bool(classes) and all(
        name in info and info[name]["python_module"].startswith("custom_nodes.") for name in classes
    )


def _is_first_of_unknown_classes(_workflow: Workflow, theirs: Judgement, ours: Judgement, _info: ObjectInfo) -> bool:
    """Whether the node reported only the first unknown class."""
    return ours.kinds == {"unknown_node_class"} and theirs.kinds <= CLASS_ERRORS and theirs.places <= ours.places


def _is_old(info: ObjectInfo) -> bool:
    return not any("has_intermediate_output" in described for described in info.values())


def _declared(info: ObjectInfo, class_type: str, name: str) -> Any:
    sections: Mapping[str, Mapping[str, Any]] = info[class_type]["input"]
    head = name.partition(".")[0]
    found: Iterator[Any] = (section[head] for section in sections.values() if head in section)
    return next(found, [""])


_REASONS: dict[str, Applies] = {
    "several classes that the node does not know: it names the first": _is_first_of_unknown_classes,
    "null is not given: a node passes it on, casts it to the text None, or compares it with options": _is_null,
    "a literal where only a link can be: the node fails when it runs": _is_refused_more({"link_required"}),
    "text that says false on a boolean: the node takes it for true": _is_refused_more({"not_a_boolean"}),
    "a dynamic combo without a valid option: the node drops it and fails when it runs": _is_dynamic,
    "a link inside of a wrapper: its worker dies": _is_wrapped_link,
    "the check of the node breaks down, and so it does not name the input": _is_breakdown,
    "a cycle: we name one of its nodes, a node names all of them or none": _is_cycle,
    "custom class: bounds, options and types of links are left to the node": _is_custom,
    "0.3.64 does not compare combos of the newer schema with their options": _is_newer_combo,
}
