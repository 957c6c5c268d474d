"""Resolves the inputs of one node: dynamic combos and autogrow inputs depend on the values in the graph."""

from collections.abc import Mapping
from typing import Any

from contracts.catalog import InputSpec
from contracts.workflow import LITERAL_WRAPPER
from scheduler.domain.class_facts import ClassFacts, has_unknown_parts

DeclaredInputs = dict[str, tuple[InputSpec, bool]]  # by full name: its spec, and whether it is required


def resolve_inputs(facts: ClassFacts, given: Mapping[str, Any]) -> DeclaredInputs:
    """Return the inputs that a node with these values has (``get_finalized_class_inputs`` of ComfyUI).

    A dynamic combo is included even if no valid option is chosen, so that the check reports it. ComfyUI drops it
    instead, and the node fails when it runs. Combos that may be omitted are included as optional.
    """
    if facts.static_inputs is not None:
        return facts.static_inputs
    declared: DeclaredInputs = {}
    _expand_dynamic_inputs(declared, facts.spec.inputs, given, "")
    for name in facts.omittable_combos & declared.keys():
        declared[name] = (declared[name][0], False)
    return declared


def unwrap_value(value: Any) -> Any:
    """Return the value inside ``{"__value__": ...}``, or the value itself."""
    return value[LITERAL_WRAPPER] if isinstance(value, dict) and LITERAL_WRAPPER in value else value


def _expand_dynamic_inputs(
    declared: DeclaredInputs, inputs: Mapping[str, InputSpec], given: Mapping[str, Any], prefix: str
) -> None:
    for short, spec in inputs.items():
        name = prefix + short
        if spec.grown is not None:
            for position, grown in enumerate(spec.grown.names):
                full = f"{name}.{grown}"
                if position < spec.grown.required or full in given:
                    declared[full] = (spec.grown.input, position < spec.grown.required)
            continue
        declared[name] = (spec, spec.required and not has_unknown_parts(spec))
        if spec.variants is not None:
            chosen = unwrap_value(given.get(name))
            if isinstance(chosen, str) and chosen in spec.variants:
                _expand_dynamic_inputs(declared, spec.variants[chosen], given, f"{name}.")
