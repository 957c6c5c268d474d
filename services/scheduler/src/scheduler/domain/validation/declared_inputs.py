"""The inputs that one node has, once dynamic combos and autogrow inputs are what the graph makes of them."""

from collections.abc import Mapping
from typing import Any

from contracts.catalog import InputSpec
from contracts.workflow import WRAPPER
from scheduler.domain.class_facts import ClassFacts, is_opaque

Declared = dict[str, tuple[InputSpec, bool]]  # by full name: what it accepts, and whether it is required


def declared_inputs(facts: ClassFacts, given: Mapping[str, Any]) -> Declared:
    """The inputs of a node with these values (ComfyUI's ``get_finalized_class_inputs``).

    A dynamic combo is among them even where no option is chosen, so that it is found to be missing or wrong; ComfyUI
    drops it then, and the node fails when it runs, unless it is one that the class can do without.
    """
    if facts.fixed is not None:
        return facts.fixed
    declared: Declared = {}
    _expand(declared, facts.spec.inputs, given, "")
    for name in facts.dispensable_combos & declared.keys():
        declared[name] = (declared[name][0], False)
    return declared


def unwrapped(value: Any) -> Any:
    """The value inside ``{"__value__": ...}``, or the value itself."""
    return value[WRAPPER] if isinstance(value, dict) and WRAPPER in value else value


def _expand(declared: Declared, inputs: Mapping[str, InputSpec], given: Mapping[str, Any], prefix: str) -> None:
    for short, spec in inputs.items():
        name = prefix + short
        if spec.grown is not None:
            for place, grown in enumerate(spec.grown.names):
                full = f"{name}.{grown}"
                if place < spec.grown.required or full in given:
                    declared[full] = (spec.grown.input, place < spec.grown.required)
            continue
        declared[name] = (spec, spec.required and not is_opaque(spec))
        if spec.variants is not None:
            chosen = unwrapped(given.get(name))
            if isinstance(chosen, str) and chosen in spec.variants:
                _expand(declared, spec.variants[chosen], given, f"{name}.")
