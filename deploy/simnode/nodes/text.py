"""Nodes on strings."""

import json
from typing import Any

from simnode.node_class import Call, Field, NodeClass, NodeResult, run_inline


def _concatenate_texts(call: Call) -> NodeResult:
    return NodeResult((call["delimiter"].join((call["string_a"], call["string_b"])),))


def _show_text(call: Call) -> NodeResult:
    text = _convert_to_text(call["source"])
    return NodeResult((text,), {"text": [text]})


def _convert_to_text(source: Any) -> str:
    if isinstance(source, str):
        return source
    if source is None or isinstance(source, int | float):
        return str(source)
    try:
        return json.dumps(source, indent=4, ensure_ascii=False)
    except TypeError:
        return str(source)


CLASSES = (
    NodeClass(
        name="PrimitiveString",
        run=run_inline(lambda call: NodeResult((call["value"],))),
        inputs=(Field("value", "STRING", {"multiline": False}),),
        outputs=("STRING",),
        category="utilities/primitive",
        module="comfy_extras.nodes_primitive",
        display_name="Text",
        search_aliases=("text", "string"),
        schema_v3=True,
    ),
    NodeClass(
        name="StringConcatenate",
        run=run_inline(_concatenate_texts),
        inputs=(
            Field("string_a", "STRING", {"multiline": True}),
            Field("string_b", "STRING", {"multiline": True}),
            Field("delimiter", "STRING", {"default": "", "multiline": False}),
        ),
        outputs=("STRING",),
        category="text",
        module="comfy_extras.nodes_string",
        display_name="Concatenate Text",
        search_aliases=("text concat", "join text"),
        schema_v3=True,
    ),
    NodeClass(
        name="PreviewAny",
        run=run_inline(_show_text),
        inputs=(Field("source", "*"),),
        outputs=("STRING",),
        output_node=True,
        category="utilities",
        module="comfy_extras.nodes_preview_any",
        display_name="Preview as Text",
        description="Preview any input value as text.",
        search_aliases=("show output", "show text"),
    ),
)
