"""The inputs of a workflow, as a form needs them."""

from enum import StrEnum
from typing import Any

from contracts.catalog import Scalar
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.errors import FieldError
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import ShortText


class InputFormat(StrEnum):
    """How a form shows an input, beyond its type."""

    IMAGE_UPLOAD = "image-upload"
    MASK_UPLOAD = "mask-upload"
    AUDIO_UPLOAD = "audio-upload"
    VIDEO_UPLOAD = "video-upload"
    FILE_UPLOAD = "file-upload"
    SEED = "seed"
    MULTILINE = "multiline"


class DescribeWorkflow(StrictModel):
    """Describe the inputs of a workflow. ``graph``: a graph in API format, or a file of ComfyUI's editor."""

    graph: dict[str, Any]


class FormInput(TolerantModel):
    """An input of a node with a literal value. Linked inputs are left out.

    Attributes:
        title: title of the input, such as "Positive prompt" or "Steps".
        type: JSON Schema type: string, integer, number or boolean.
        minimum, maximum: inclusive.
        options: values that nodes of the fleet have, at most ``MAX_OPTIONS``; None if it is not a choice.
        options_total: number of options in the fleet.
        default: the editor's default value.
        value: the literal in the graph.
        advanced: whether the input is seldom changed.
    """

    node_id: ShortText
    node_class: ShortText
    node_title: ShortText | None = None
    input: ShortText
    title: ShortText
    type: str
    format: InputFormat | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    options: tuple[Scalar, ...] | None = None
    options_total: int = 0
    default: Scalar | None = None
    value: Scalar
    advanced: bool = False


class FormOutput(TolerantModel):
    """A node of the workflow that leaves outputs."""

    node_id: ShortText
    node_class: ShortText
    node_title: ShortText | None = None


class WorkflowForm(TolerantModel):
    """The inputs of a workflow, most useful first.

    Attributes:
        graph: the workflow in API format; None if it was sent in this format.
        warnings: nodes that the fleet does not have, and values that no node has.
    """

    graph: dict[str, Any] | None = None
    inputs: tuple[FormInput, ...]
    outputs: tuple[FormOutput, ...]
    warnings: tuple[FieldError, ...] = ()


DESCRIBE_WORKFLOW = declare_scheduler_rpc(
    "workflow", "describe", DescribeWorkflow, WorkflowForm, "Describe the inputs of a workflow without running it."
)

TOPICS = (DESCRIBE_WORKFLOW,)
