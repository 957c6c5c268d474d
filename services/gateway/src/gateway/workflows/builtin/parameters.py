"""The parameters of built-in workflows as JSON Schema."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contracts.gateway.submissions import Submission
from gateway.workflows.builtin import image_to_image, inpaint, text_to_image

MAX_CHOICES = 500  # choices of one parameter; GET /api/v1/models lists all models

_SHARED = (
    "prompt",
    "negative_prompt",
    "model",
    "width",
    "height",
    "steps",
    "cfg_scale",
    "sampler",
    "scheduler",
    "seed",
)
_FORMATS = {
    "prompt": "multiline", "negative_prompt": "multiline", "seed": "seed", "image": "image-upload",
    "mask": "mask-upload",
}  # fmt: skip
_DESCRIPTIONS = {
    "seed": "-1 draws a random seed",
    "width": "pixels, a multiple of 8",
    "height": "pixels, a multiple of 8",
    "denoise": "how much of the image is replaced",
    "mask": "white where the image is repainted",
}
_SCHEMA_KEYS = ("type", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "default")


class BuiltinWorkflow(NamedTuple):
    """A built-in workflow, and the fields of a submission that it takes, in the order of a form."""

    name: str
    title: str
    description: str
    fields: tuple[str, ...]
    required: tuple[str, ...]
    defaults: Mapping[str, Any] = {}


BUILTIN_WORKFLOWS = (
    BuiltinWorkflow(text_to_image.NAME, "Text to image", "Images of a prompt.", (*_SHARED, "num_images"), ("prompt",)),
    BuiltinWorkflow(
        image_to_image.NAME,
        "Image to image",
        "Images of a prompt that begin with an uploaded image. Without width and height the image keeps its size.",
        ("prompt", "image", *_SHARED[1:], "denoise", "num_images"),
        ("prompt", "image"),
        {"denoise": image_to_image.DEFAULT_DENOISE, "width": None, "height": None},
    ),
    BuiltinWorkflow(
        inpaint.NAME,
        "Inpaint",
        "An uploaded image, repainted by the prompt where the mask is white.",
        ("prompt", "image", "mask", *_SHARED[1:], "denoise", "num_images"),
        ("prompt", "image", "mask"),
        {"denoise": inpaint.DEFAULT_DENOISE, "width": None, "height": None},
    ),
)


def build_parameters_schema(
    workflow: BuiltinWorkflow, choices: Mapping[str, Sequence[Any]], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the fields of a submission that run this workflow.

    Args:
        workflow: the workflow.
        choices: what the fleet has, by field; fields without choices take any text.
        defaults: further defaults, by field.
    """
    fields = Submission.model_json_schema()["properties"]
    all_defaults = {**defaults, **workflow.defaults}
    properties: dict[str, Any] = {}
    for name in workflow.fields:
        declared = fields[name]
        typed = next((schema for schema in declared.get("anyOf", ()) if schema.get("type") != "null"), declared)
        schema_part = {key: typed[key] for key in _SCHEMA_KEYS if key in typed}
        schema_part |= {"title": name.replace("_", " ").capitalize()}
        if name in all_defaults:
            schema_part.pop("default", None)
            schema_part |= {"default": all_defaults[name]} if all_defaults[name] is not None else {}
        if name in _FORMATS:
            schema_part["format"] = _FORMATS[name]
        if name in _DESCRIPTIONS:
            schema_part["description"] = _DESCRIPTIONS[name]
        if choices.get(name):
            schema_part["enum"] = list(choices[name][:MAX_CHOICES])
        properties[name] = schema_part
    return {
        "type": "object",
        "properties": properties,
        "required": list(workflow.required),
        "additionalProperties": False,
    }
