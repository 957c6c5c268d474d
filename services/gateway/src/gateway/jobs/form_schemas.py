"""Bodies about the inputs of workflows, for forms."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from contracts.scheduler.workflow_forms import FormInput, InputFormat, WorkflowForm
from contracts.wire.errors import FieldError
from contracts.workflow import is_model_file_name
from gateway.jobs.workflow_pointers import build_input_pointer
from gateway.workflows.submission_formats import WORKFLOW_POINTER

_INVALID_IN_NAME = re.compile(r"[^A-Za-z0-9_]+")
_MAX_NAME = 64
_EXAMPLE: dict[str, Any] = {
    "pointer": "/workflow/5/inputs/steps",
    "node_id": "5",
    "node_class": "KSampler",
    "node_title": None,
    "input": "steps",
    "name": "steps",
    "title": "Steps",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 20},
    "value": 30,
    "advanced": False,
    "options_total": 0,
    "options_url": None,
}


class FormInputBody(BaseModel):
    """An input of a node that has a literal value.

    Attributes:
        pointer: JSON Pointer to the input, as in the errors of a submission of ``graph``.
        input: name of the input in the node.
        name: unique in this workflow, and valid as the name of a parameter of a saved workflow.
        json_schema: ``type``, ``title``, ``minimum``, ``maximum``, ``enum``, ``default`` and ``format``:
            ``image-upload``, ``mask-upload``, ``audio-upload``, ``video-upload`` or ``file-upload`` (the value is an
            upload's id), ``seed``, ``multiline``. ``enum`` has values that nodes of the fleet have, at most 500.
        value: the literal in the graph.
        advanced: whether it is seldom changed.
        options_total: number of values that nodes of the fleet have; 0 if it is not a choice.
        options_url: path where all of them are listed; null if ``enum`` has all.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    pointer: str
    node_id: str
    node_class: str
    node_title: str | None
    input: str
    name: str
    title: str
    json_schema: dict[str, Any] = Field(alias="schema")
    value: str | int | float | bool
    advanced: bool
    options_total: int
    options_url: str | None


class FormOutputBody(BaseModel):
    """A node that produces outputs."""

    node_id: str
    node_class: str
    node_title: str | None


class WorkflowFormBody(BaseModel):
    """What a form for a workflow needs.

    Attributes:
        graph: graph in API format: set the values in it and submit it as ``workflow``.
        inputs: inputs with a literal value: prompts and files first, then seed, steps, sizes and models, then the rest;
            at most 1,000. Linked inputs are left out.
        warnings: nodes that the fleet does not have, values that no node has, and whether ``inputs`` was cut.
    """

    graph: dict[str, Any]
    inputs: list[FormInputBody]
    outputs: list[FormOutputBody]
    warnings: list[FieldError]


class BuiltinWorkflowBody(BaseModel):
    """A built-in workflow. ``parameters``: the JSON Schema of its fields in a submission."""

    name: str
    title: str
    description: str
    parameters: dict[str, Any]


class BuiltinWorkflowsBody(BaseModel):
    """All built-in workflows."""

    workflows: list[BuiltinWorkflowBody]


def build_form_body(graph: dict[str, Any], form: WorkflowForm) -> WorkflowFormBody:
    names: set[str] = set()
    return WorkflowFormBody(
        graph=graph,
        inputs=[_build_form_input_body(form_input, names) for form_input in form.inputs],
        outputs=[FormOutputBody(**output.model_dump()) for output in form.outputs],
        warnings=list(form.warnings),
    )


def _build_form_input_body(form_input: FormInput, names: set[str]) -> FormInputBody:
    has_all = form_input.options is None or len(form_input.options) == form_input.options_total
    schema = {
        "type": form_input.type,
        "title": form_input.title,
        "format": form_input.format,
        "minimum": form_input.minimum,
        "maximum": form_input.maximum,
        "enum": list(form_input.options) if form_input.options else None,
        "default": form_input.default,
    }
    shown = form_input.model_dump(
        include={"node_id", "node_class", "node_title", "input", "title", "value", "advanced"}
    )
    return FormInputBody(
        **shown,
        pointer=build_input_pointer(WORKFLOW_POINTER, form_input.node_id, form_input.input),
        name=_build_unique_name(form_input, names),
        schema={key: value for key, value in schema.items() if value is not None},
        options_total=form_input.options_total,
        options_url=None if has_all else _build_options_url(form_input.node_class, form_input.options or ()),
    )


def _build_unique_name(form_input: FormInput, names: set[str]) -> str:
    """Return a name made of the input's name, or of its title for a prompt; numbered if the name is taken."""
    is_prompt = form_input.format is InputFormat.MULTILINE
    text = form_input.title.lower() if is_prompt else form_input.input.rpartition(".")[2]
    stem = _INVALID_IN_NAME.sub("_", text).strip("_")[: _MAX_NAME - 6] or "input"
    stem = stem if not stem[0].isdigit() else f"_{stem}"
    name, number = stem, 1
    while name in names:
        number += 1
        name = f"{stem}_{number}"
    names.add(name)
    return name


def _build_options_url(node_class: str, options: Sequence[object]) -> str:
    if options and all(map(is_model_file_name, options)):
        return "/api/v1/models"
    return f"/api/v1/nodes/classes?name={quote(node_class, safe='')}"
