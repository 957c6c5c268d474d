"""Checks that format strings written by users for StringFormat only insert the given values.

ComfyUI passes them to ``str.format``, whose fields can reach the whole process from any value:
``{a.__class__.__init__.__globals__}`` reveals the environment and the workflows of other users of the node.
"""

import re
from string import Formatter

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]{0,3}")
_SPEC = re.compile(r"[^{}0-9]{0,4}0?[0-9]{0,3}[,_]?(?:\.[0-9]{1,3})?[A-Za-z%]?")


def is_plain_format(text: str) -> bool:
    """Whether every field is a name or a number, with a width and a precision of at most three digits each.

    Fields with attributes, indexes or nested fields are not plain. Neither is a malformed string.
    """
    try:
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None]
    except ValueError:
        return False
    return all(_NAME.fullmatch(name) and _SPEC.fullmatch(spec or "") for name, spec in fields)
