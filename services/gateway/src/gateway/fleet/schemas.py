"""Response bodies for models and node classes."""

from pydantic import BaseModel, ConfigDict

from contracts.catalog import InputSpec
from contracts.scheduler.fleet import ClassPage, FleetClass


class ModelsBody(BaseModel):
    """Model files by loader input (class and input name), most common in the fleet first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"models": {"CheckpointLoaderSimple.ckpt_name": ["sd15.safetensors"]}}]}
    )

    models: dict[str, list[str]]


class InputBody(BaseModel):
    """An input of a node class: a link or value of ``type``. If ``type`` is COMBO, one of ``options``.

    ``options`` combines those of all nodes, at most 1,000. An input with ``upload`` accepts the id of an upload.
    """

    type: str
    required: bool
    options: list[str | int | float | bool] | None
    min: float | None
    max: float | None
    upload: bool


class ClassBody(BaseModel):
    """A node class. ``outputs``: types of its outputs. ``output_node``: it stores results.

    ``refused``: why your graph policy does not allow it and who can allow it, or null.
    """

    name: str
    inputs: dict[str, InputBody]
    outputs: list[str]
    output_node: bool
    refused: str | None = None


class ClassesBody(BaseModel):
    """A page of node classes by name. ``next_cursor`` is null on the last page."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "classes": [
                        {
                            "name": "EmptyLatentImage",
                            "inputs": {
                                "width": {
                                    "type": "INT",
                                    "required": True,
                                    "options": None,
                                    "min": 16,
                                    "max": 16384,
                                    "upload": False,
                                }
                            },
                            "outputs": ["LATENT"],
                            "output_node": False,
                            "refused": None,
                        }
                    ],
                    "next_cursor": "EmptyLatentImage",
                }
            ]
        }
    )

    classes: list[ClassBody]
    next_cursor: str | None


def build_classes_body(page: ClassPage) -> ClassesBody:
    return ClassesBody(
        classes=[_build_node_class_body(found) for found in page.classes],
        next_cursor=page.classes[-1].name if page.more and page.classes else None,
    )


def _build_node_class_body(found: FleetClass) -> ClassBody:
    spec = found.spec
    return ClassBody(
        name=found.name,
        inputs={field: _build_input_body(accepted) for field, accepted in spec.inputs.items()},
        outputs=list(spec.outputs),
        output_node=spec.output_node,
        refused=found.refused,
    )


def _build_input_body(accepted: InputSpec) -> InputBody:
    fields = accepted.model_dump()
    return InputBody(**fields | {"options": None if accepted.options is None else list(accepted.options)})
