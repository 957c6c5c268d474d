"""The workflows that a prompt runs, by what comes with it."""

from types import ModuleType
from typing import Any

from contracts.gateway.submissions import Submission
from contracts.wire.errors import FieldError
from gateway.workflows.builtin import image_to_image, inpaint, text_to_image
from gateway.workflows.builtin import nodes as prompt_graph

CUSTOM = "custom"  # what a workflow is called that was sent whole
NAMES = (text_to_image.NAME, image_to_image.NAME, inpaint.NAME)


def name_of(submission: Submission) -> str:
    """The workflow of a submission with a ``prompt``."""
    name: str = _chosen(submission).NAME
    return name


def build(submission: Submission, *, model: str, seed: int) -> dict[str, Any]:
    """Its graph."""
    graph: dict[str, Any] = _chosen(submission).build(submission, model=model, seed=seed)
    return graph


def explain(submission: Submission, errors: tuple[FieldError, ...]) -> tuple[FieldError, ...]:
    """Errors of its graph, in the words of the submission."""
    return prompt_graph.explain(errors, _chosen(submission).ORIGINS)


def _chosen(submission: Submission) -> ModuleType:
    if submission.image is None:
        return text_to_image
    return image_to_image if submission.mask is None else inpaint
