"""Checks a literal against its input, and converts it as ComfyUI does."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from contracts.catalog import InputSpec, Scalar
from contracts.wire.show_values import format_number, format_value
from contracts.workflow import LITERAL_WRAPPER, MAX_INTEGER, MIN_INTEGER, is_link, is_model_file_name
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.validation.declared_inputs import unwrap_value
from scheduler.domain.validation.findings import GraphFault

NOT_A_NUMBER, NOT_A_BOOLEAN, OUT_OF_RANGE = "not_a_number", "not_a_boolean", "value_out_of_range"
NOT_IN_LIST = "value_not_in_list"
FALSE_TEXTS = frozenset({"false", "0", "no", "off", "none", "null", "n", "f"})
SHORT_LIST = 20  # up to this many options are all returned; of longer lists only the most similar

_LOADERS = {"IMAGE": "LoadImage", "MASK": "LoadImageMask"}
_CASTS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}

HasOption = Callable[[InputSpec, object], bool]


class CheckedValue(NamedTuple):
    """The converted value of a literal, or what is wrong with it.

    Attributes:
        option: the text option that the value names; None if the value is not such an option.
        is_unlisted: the value is not among the options, but the class may accept it.
    """

    value: Any = None
    fault: GraphFault | None = None
    option: str | None = None
    is_unlisted: bool = False


def check_value(facts: ClassFacts, name: str, spec: InputSpec, value: Any, has_option: HasOption) -> CheckedValue:
    """Check a literal as ComfyUI does: unwrap it, convert it to the input's type, compare with bounds and options.

    Stricter than ComfyUI where nodes would fail later: a literal where only a link is valid, text such as "false" for a
    boolean, a number that is not finite, a link inside a wrapper.
    """
    label = f"{facts.name}.{name}"
    inner = unwrap_value(value)
    if inner is not value and is_link(inner):
        message = f'{label} is a link inside of {{"{LITERAL_WRAPPER}": ...}}. Write the link itself, such as ["4", 0].'
        return CheckedValue(fault=GraphFault("broken_link", message))
    if facts.takes_only_links(spec):
        message = (
            f'{label} is {format_value(inner)}, and takes a link to an output of type {spec.type}, such as ["4", 0].'
        )
        if isinstance(inner, str) and inner and spec.type in _LOADERS:
            message += f" To use a file, upload it (POST /api/v1/upload) and link a {_LOADERS[spec.type]} node."
        return CheckedValue(fault=GraphFault("link_required", message))
    cast, fault = _convert_value(label, spec, inner)
    if fault is None and not facts.validates_itself(name):
        fault = _find_bound_fault(label, spec, cast)
    if fault is not None:
        return CheckedValue(fault=fault)
    if spec.variants is not None or spec.options is not None:
        return _check_choice(facts, name, spec, _choose_sent_value(value, cast), has_option)
    return CheckedValue(_choose_sent_value(value, cast))


def _choose_sent_value(value: Any, cast: Any) -> Any:
    """Return what is sent to the node. Lists and objects keep their wrapper, because the node unwraps once more."""
    return value if isinstance(cast, list | dict) else cast


def _convert_value(label: str, spec: InputSpec, value: Any) -> tuple[Any, GraphFault | None]:
    cast = _CASTS.get(spec.type)
    if cast is None or type(value) is cast:
        return value, _find_number_fault(label, value)
    if cast is bool and isinstance(value, str) and value.strip().lower() in FALSE_TEXTS:
        message = f"{label} is the text {format_value(value)}, which ComfyUI takes for true. Send false without quotes."
        return None, GraphFault(NOT_A_BOOLEAN, message)
    try:
        converted = cast(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        kind = "a whole number" if cast is int else "a number"
        return None, GraphFault(NOT_A_NUMBER, f"{label} is {format_value(value)}, but must be {kind}.")
    return converted, _find_number_fault(label, converted)


def _find_number_fault(label: str, value: Any) -> GraphFault | None:
    """Return a fault if the number cannot be sent as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return GraphFault(NOT_A_NUMBER, f"{label} is {format_value(value)}, but must be a finite number.")
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        message = f"{label} is {format_value(value)}, but must be between {MIN_INTEGER} and {MAX_INTEGER}."
        return GraphFault("integer_out_of_range", message)
    return None


def _find_bound_fault(label: str, spec: InputSpec, value: Any) -> GraphFault | None:
    low, high = spec.min, spec.max
    if low is None and high is None:
        return None
    if not isinstance(value, int | float):
        return GraphFault(NOT_A_NUMBER, f"{label} is {format_value(value)}, but must be a number.")
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    if low is not None and high is not None:
        wanted = f"between {format_number(low)} and {format_number(high)}"
    else:
        wanted = f"at most {format_number(high)}" if high is not None else f"at least {format_number(low or 0)}"
    bounds = tuple(bound for bound in (low, high) if bound is not None)
    return GraphFault(OUT_OF_RANGE, f"{label} is {format_value(value)}, but must be {wanted}.", bounds)


def _check_choice(facts: ClassFacts, name: str, spec: InputSpec, value: Any, has_option: HasOption) -> CheckedValue:
    given = unwrap_value(value)
    if spec.multiselect and isinstance(given, list):
        wrong = next((choice for choice in given if not has_option(spec, choice)), None)
        if wrong is None or facts.validates_itself(name):
            return CheckedValue(value)
        return CheckedValue(fault=_build_choice_fault(facts, name, spec, wrong))
    for candidate in _list_path_variants(given):
        if has_option(spec, candidate):
            return CheckedValue(candidate, option=candidate if isinstance(candidate, str) else None)
    if facts.validates_itself(name) and not (facts.is_custom and _lists_models(spec)):
        return CheckedValue(value, is_unlisted=True)
    return CheckedValue(fault=_build_choice_fault(facts, name, spec, given))


def _list_path_variants(given: Any) -> tuple[Any, ...]:
    """Return the value, then the value with other path separators: a node lists paths as its operating system does."""
    if not isinstance(given, str) or not ("/" in given or "\\" in given):
        return (given,)
    return given, given.replace("\\", "/"), given.replace("/", "\\")


def _build_choice_fault(facts: ClassFacts, name: str, spec: InputSpec, given: Any) -> GraphFault:
    choices = tuple(spec.variants) if spec.variants is not None else spec.options or ()
    subject = f"{facts.name}.{name} is {format_value(given)}"
    allowed = choices if len(choices) <= SHORT_LIST else None
    message = describe_unlisted_choice(subject, choices)
    return GraphFault(NOT_IN_LIST, message, allowed, given_name=str(given)[:200], choices=choices, subject=subject)


def describe_unlisted_choice(subject: str, choices: Sequence[Scalar]) -> str:
    """Describe a value that is not among these choices.

    Args:
        subject: the start of the sentence, which names the input and its value.
    """
    if not choices:
        return f"{subject}, but no ComfyUI server of the fleet has any file for it. Ask the operator to add one."
    if _are_models(choices):
        return f"{subject}, which no ComfyUI server of the fleet has."
    return f"{subject}, which is not one of its options."


def _lists_models(spec: InputSpec) -> bool:
    """Whether the options are model files.

    Such a list is complete. So a value outside it is refused even for a custom class, which may otherwise accept
    unlisted values.
    """
    return _are_models(spec.options or ())


def _are_models(choices: Sequence[Scalar]) -> bool:
    """Whether there are model files among these choices."""
    return any(map(is_model_file_name, choices))
