"""Operator rules about node classes, from the database and from the settings."""

import re

from contracts.graph_policy.policy import NAME_MAX, PRINTABLE_PATTERN, ClassRules, OperatorRules


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return the distinct names in a comma-separated list, sorted.

    Raises:
        ValueError: a name is too long or has a control character.
    """
    names = {part.strip() for part in (text or "").split(",")} - {""}
    for name in names:
        if len(name) > NAME_MAX or not re.fullmatch(PRINTABLE_PATTERN, name):
            raise ValueError(f"Use comma-separated names of 1 to {NAME_MAX} characters, without control characters.")
    return tuple(sorted(names))


def merge_rules(stored: ClassRules, settings: ClassRules) -> OperatorRules:
    """Merge both sets of rules. When one allows a name and the other denies it, the denial wins."""
    united = {
        name: tuple(sorted({*getattr(stored, name), *getattr(settings, name)})) for name in ClassRules.model_fields
    }
    return OperatorRules(**united, from_settings=settings)
