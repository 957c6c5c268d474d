"""Chooses the built-in workflow for a prompt."""

from types import ModuleType
from typing import Any

from contracts.gateway.submissions import Submission
from contracts.wire.errors import FieldError
from gateway.workflows.builtin import image_to_image, inpaint, text_to_image
from gateway.workflows.builtin import nodes as prompt_graph

CUSTOM = "custom"  # the workflow name of jobs that were submitted with a graph
NAMES = (text_to_image.NAME, image_to_image.NAME, inpaint.NAME)


def find_workflow_name(submission: Submission) -> str:
    """Return the name of the workflow that a submission with a ``prompt`` runs."""
    name: str = _choose_workflow(submission).NAME
    return name


def build_graph(submission: Submission, *, model: str, seed: int) -> dict[str, Any]:
    """Return the graph of that workflow."""
    graph: dict[str, Any] = _choose_workflow(submission).build_graph(submission, model=model, seed=seed)
    return graph


def find_field_pointers(name: str) -> prompt_graph.FieldPointers:
    """Return the pointers from inputs of the graph of a built-in workflow to fields of a submission."""
    field_pointers: prompt_graph.FieldPointers = next(
        module.FIELD_POINTERS for module in (text_to_image, image_to_image, inpaint) if name == module.NAME
    )
    return field_pointers


def build_template(name: str, *, model: str) -> dict[str, Any]:
    """Return the graph of a built-in workflow with default values, an empty prompt and no images."""
    source = "" if name != text_to_image.NAME else None
    mask = "" if name == inpaint.NAME else None
    submission = Submission.model_construct(
        _fields_set=set(), prompt="", image=source, mask=mask, parameters={}, labels={}
    )
    return build_graph(submission, model=model, seed=0)


def relocate_errors(submission: Submission, errors: tuple[FieldError, ...]) -> tuple[FieldError, ...]:
    """Return errors of the graph, with pointers into the submission."""
    return prompt_graph.relocate_errors(errors, _choose_workflow(submission).FIELD_POINTERS)


def _choose_workflow(submission: Submission) -> ModuleType:
    if submission.image is None:
        return text_to_image
    return image_to_image if submission.mask is None else inpaint
