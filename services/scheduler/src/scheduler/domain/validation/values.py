"""Whether a literal is a value of its input, and which value ComfyUI makes of it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.wire.shown import number, shown
from contracts.workflow import MAX_INTEGER, MIN_INTEGER, WRAPPER, is_link, is_model
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.validation.declared_inputs import unwrapped
from scheduler.domain.validation.findings import Fault

NOT_A_NUMBER, NOT_A_BOOLEAN, OUT_OF_RANGE = "not_a_number", "not_a_boolean", "value_out_of_range"
NOT_IN_LIST = "value_not_in_list"
FALSE_TEXTS = frozenset({"false", "0", "no", "off", "none", "null", "n", "f"})
SHORT_LIST = 20  # options that are told whole; of longer lists the nearest

_LOADERS = {"IMAGE": "LoadImage", "MASK": "LoadImageMask"}
_CASTS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}

HasOption = Callable[[InputSpec, object], bool]


class Judged(NamedTuple):
    """The value that a node makes of a literal, or what is wrong with it.

    Attributes:
        listed: the option that it is, where it is one of a list.
        unlisted: it is none of its list, and the class may take it all the same.
    """

    value: Any = None
    fault: Fault | None = None
    listed: str | None = None
    unlisted: bool = False


def judge_value(facts: ClassFacts, name: str, spec: InputSpec, value: Any, has_option: HasOption) -> Judged:
    """Judge a literal as ComfyUI does: unwrapped, cast to the input's type, compared with bounds and options.

    Stricter than ComfyUI in what its nodes fail on later: a literal where only a link can be, text that says false for
    a boolean, a number that is not finite, a link inside of a wrapper.
    """
    label = f"{facts.name}.{name}"
    inner = unwrapped(value)
    if inner is not value and is_link(inner):
        message = f'{label} is a link inside of {{"{WRAPPER}": ...}}. Write the link itself, such as ["4", 0].'
        return Judged(fault=Fault("broken_link", message))
    if facts.takes_only_links(spec):
        message = f'{label} is {shown(inner)}, and takes a link to an output of type {spec.type}, such as ["4", 0].'
        if isinstance(inner, str) and inner and spec.type in _LOADERS:
            message += f" To use a file, upload it (POST /api/v1/upload) and link a {_LOADERS[spec.type]} node."
        return Judged(fault=Fault("link_required", message))
    cast, fault = _cast(label, spec, inner)
    if fault is None and not facts.validates_itself(name):
        fault = _bound_fault(label, spec, cast)
    if fault is not None:
        return Judged(fault=fault)
    if spec.variants is not None or spec.options is not None:
        return _judge_choice(facts, name, spec, _as_sent(value, cast), has_option)
    return Judged(_as_sent(value, cast))


def _as_sent(value: Any, cast: Any) -> Any:
    """What goes to the node, which unwraps once more: lists and objects keep their wrapper."""
    return value if isinstance(cast, list | dict) else cast


def _cast(label: str, spec: InputSpec, value: Any) -> tuple[Any, Fault | None]:
    cast = _CASTS.get(spec.type)
    if cast is None or type(value) is cast:
        return value, _not_finite(label, value)
    if cast is bool and isinstance(value, str) and value.strip().lower() in FALSE_TEXTS:
        message = f"{label} is the text {shown(value)}, which ComfyUI takes for true. Send false without quotes."
        return None, Fault(NOT_A_BOOLEAN, message)
    try:
        made = cast(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        kind = "a whole number" if cast is int else "a number"
        return None, Fault(NOT_A_NUMBER, f"{label} is {shown(value)}, and must be {kind}.")
    return made, _not_finite(label, made)


def _not_finite(label: str, value: Any) -> Fault | None:
    """What JSON cannot carry to a node."""
    if isinstance(value, float) and not math.isfinite(value):
        return Fault(NOT_A_NUMBER, f"{label} is {shown(value)}, and must be a finite number.")
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        message = f"{label} is {shown(value)}, and must be between {MIN_INTEGER} and {MAX_INTEGER}."
        return Fault("integer_out_of_range", message)
    return None


def _bound_fault(label: str, spec: InputSpec, value: Any) -> Fault | None:
    low, high = spec.min, spec.max
    if low is None and high is None:
        return None
    if not isinstance(value, int | float):
        return Fault(NOT_A_NUMBER, f"{label} is {shown(value)}, and must be a number.")
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    if low is not None and high is not None:
        wanted = f"between {number(low)} and {number(high)}"
    else:
        wanted = f"at most {number(high)}" if high is not None else f"at least {number(low or 0)}"
    bounds = tuple(bound for bound in (low, high) if bound is not None)
    return Fault(OUT_OF_RANGE, f"{label} is {shown(value)}, and must be {wanted}.", bounds)


def _judge_choice(facts: ClassFacts, name: str, spec: InputSpec, value: Any, has_option: HasOption) -> Judged:
    given = unwrapped(value)
    if spec.multiselect and isinstance(given, list):
        wrong = next((one for one in given if not has_option(spec, one)), None)
        if wrong is None or facts.validates_itself(name):
            return Judged(value)
        return Judged(fault=_choice_fault(facts, name, spec, wrong))
    for candidate in _spellings(given):
        if has_option(spec, candidate):
            return Judged(candidate, listed=candidate if isinstance(candidate, str) else None)
    if facts.validates_itself(name) and not (facts.is_custom and _lists_models(spec)):
        return Judged(value, unlisted=True)
    return Judged(fault=_choice_fault(facts, name, spec, given))


def _spellings(given: Any) -> tuple[Any, ...]:
    """The value, then with the separators of other systems: a path in a list is written as its node's system does."""
    if not isinstance(given, str) or not ("/" in given or "\\" in given):
        return (given,)
    return given, given.replace("\\", "/"), given.replace("/", "\\")


def _choice_fault(facts: ClassFacts, name: str, spec: InputSpec, given: Any) -> Fault:
    choices = tuple(spec.variants) if spec.variants is not None else spec.options or ()
    lacks = "no ComfyUI server of the fleet has" if _lists_models(spec) else "is not one of its options"
    message = f"{facts.name}.{name} is {shown(given)}, which {lacks}."
    if not choices:
        message = (
            f"{facts.name}.{name} is {shown(given)}, but no ComfyUI server of the fleet has any file for it. Ask the "
            "operator to add one."
        )
    if len(choices) <= SHORT_LIST:
        return Fault(NOT_IN_LIST, message, choices, sought=str(given)[:200], choices=choices)
    return Fault(NOT_IN_LIST, message, sought=str(given)[:200], choices=choices)


def _lists_models(spec: InputSpec) -> bool:
    """Whether the options are files of a model folder, which are the whole truth whoever lists them."""
    return any(map(is_model, spec.options or ()))
