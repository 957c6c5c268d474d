"""The ``object_info`` description of a node class, in the two formats that ComfyUI mixes.

Classic classes list a combo as ``[[values], {options}]``. Classes of the newer schema list it as ``["COMBO",
{"options": ...}]`` and always include all flags. ComfyUI 0.3 lacks the keys that 0.33 added.
"""

from collections.abc import Iterable

from simnode.node_class import Autogrow, DynamicCombo, Field, NodeClass
from simnode.resources import NodeResources
from simnode.wire import Document

GROUPS = ("required", "optional", "hidden")
KEYS_SINCE_0_33 = ("is_input_list", "has_intermediate_output", "search_aliases")


def describe_class(node: NodeClass, resources: NodeResources) -> Document:
    """Return the value of ``GET /object_info`` for one class."""
    groups = _group_inputs(node, resources)
    info: Document = {
        "input": groups,
        "input_order": {group: list(fields) for group, fields in groups.items()},
        "is_input_list": False,
        "output": list(node.outputs),
        "output_is_list": [False] * len(node.outputs),
        "output_name": list(node.output_names or node.outputs),
        "name": node.name,
        "display_name": node.display_name or node.name,
        "description": node.description,
        "python_module": node.module,
        "category": node.category,
        "output_node": node.output_node,
        "has_intermediate_output": False,
        "search_aliases": list(node.search_aliases),
    }
    info |= _build_v3_flags(node) if node.schema_v3 else _build_v1_flags(node)
    if not resources.settings.is_0_33:
        for key in KEYS_SINCE_0_33:
            info.pop(key)
    return info


def build_input_config(field: Field, resources: NodeResources, *, schema_v3: bool) -> list[object]:
    """Return ``[type, options]`` of one input. Validation errors contain it too."""
    options = dict(field.options)
    if isinstance(field.kind, DynamicCombo):
        described = [
            {"key": key, "inputs": _group_dynamic_inputs(inner, resources)} for key, inner in field.kind.options.items()
        ]
        return [field.type_name, {**options, "options": described}]
    if isinstance(field.kind, Autogrow):
        template = {
            "input": _group_dynamic_inputs((field.kind.field,), resources),
            "prefix": field.kind.prefix,
            "min": field.kind.min_count,
            "max": field.kind.max_count,
        }
        return [field.type_name, {**options, "template": template}]
    choices = field.list_options(resources)
    if choices is None:
        return [field.kind, options] if options or schema_v3 else [field.kind]
    if schema_v3:
        return ["COMBO", {**options, "multiselect": False, "options": choices}]
    return [choices, options] if options else [choices]


def _group_inputs(node: NodeClass, resources: NodeResources) -> Document:
    groups: Document = {"required": {}}
    for group in GROUPS:
        fields = [field for field in node.inputs if field.group == group]
        if group == "hidden":
            values: Document = {field.name: field.kind for field in fields}
        else:
            values = {field.name: build_input_config(field, resources, schema_v3=node.schema_v3) for field in fields}
        if values:
            groups[group] = values
    return groups


def _group_dynamic_inputs(fields: Iterable[Field], resources: NodeResources) -> Document:
    groups: Document = {"required": {}}
    for field in fields:
        groups.setdefault(field.group, {})[field.name] = build_input_config(field, resources, schema_v3=True)
    return groups


def _build_v1_flags(node: NodeClass) -> Document:
    flags: Document = {}
    if node.output_tooltips is not None:
        flags["output_tooltips"] = list(node.output_tooltips)
    if node.deprecated:
        flags["deprecated"] = True
    if node.essentials is not None:
        flags["essentials_category"] = node.essentials
    return flags


def _build_v3_flags(node: NodeClass) -> Document:
    return {
        "output_tooltips": [None] * len(node.outputs),
        "output_matchtypes": None,
        "price_badge": None,
        "deprecated": node.deprecated,
        "experimental": False,
        "dev_only": False,
        "api_node": False,
        "search_aliases": list(node.search_aliases) or None,
        "essentials_category": node.essentials,
    }
