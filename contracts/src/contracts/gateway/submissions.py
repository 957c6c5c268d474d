"""The request body of a job submission."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from contracts.wire.model import StrictModel

Label = Annotated[str, Field(min_length=1, max_length=63)]


WorkflowName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


OUTPUT_PREFIX = "output:"  # prefix of an output's id that is used as an input


def _check_upload_id(value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> str:
    try:
        return str(validate(value))
    except ValidationError:
        message = (
            '"{field}" must be the id of an upload. Upload the file (POST /api/v1/upload) and send the id it returns, '
            'or "output:<id of the output>" to use an image that one of your jobs made.'
        )
        raise PydanticCustomError("upload_id_invalid", message, {"field": info.field_name or "image"}) from None


UploadId = Annotated[
    str,
    Field(
        pattern=r"^(output:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        min_length=36,
        max_length=43,
        description="an upload, or output:<id> for an output of one of your jobs",
    ),
    WrapValidator(_check_upload_id),
]


class Submission(StrictModel):
    """A job to run. Exactly one of ``prompt``, ``workflow`` and ``workflow_name`` is required.

    ``image`` is the id of an upload, or ``output:`` followed by the id of an output. With it, ``prompt`` repaints that
    image with strength ``denoise``; with ``mask`` only where the mask is white.

    ``workflow`` is a graph in API format or a file saved by ComfyUI's editor. A seed of -1 is replaced by a random
    number. ``randomize_seeds`` replaces every seed. The job returns the values as ``seeds``.

    A job without outputs completes with a warning; with ``on_no_outputs`` set to "fail" it fails.

    ``POST /api/v1/jobs`` and the NATS subject ``jobs.submit`` accept the same body.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    negative_prompt: Annotated[str, Field(max_length=20_000)] = ""
    width: Annotated[int, Field(ge=64, le=2048, multiple_of=8)] = 512
    height: Annotated[int, Field(ge=64, le=2048, multiple_of=8)] = 512
    steps: Annotated[int, Field(ge=1, le=150)] = 20
    cfg_scale: Annotated[float, Field(ge=1, le=30)] = 7.0
    sampler: Annotated[str, Field(min_length=1, max_length=64)] = "euler"
    scheduler: Annotated[str, Field(min_length=1, max_length=64)] = "normal"
    seed: Annotated[int, Field(ge=-1, le=2**64 - 1)] = -1
    num_images: Annotated[int, Field(ge=1, le=10)] = 1
    model: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    image: UploadId | None = None
    mask: UploadId | None = None
    denoise: Annotated[float, Field(ge=0.01, le=1)] | None = None  # a node prepares steps / denoise sigmas one by one
    workflow: dict[str, Any] | None = None
    extra_data: dict[str, Any] | None = None  # extra data for the nodes, as ComfyUI's clients send it with a graph
    workflow_name: WorkflowName | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    parameters: Annotated[dict[str, Any], Field(max_length=100, default_factory=dict)]
    randomize_seeds: bool = False

    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    labels: Annotated[dict[Label, Label], Field(max_length=20, default_factory=dict)]
    start_within_seconds: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None
    run_within_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    on_no_outputs: Literal["warn", "fail"] = "warn"

    @model_validator(mode="after")
    def _check_field_combinations(self) -> Self:
        if (self.prompt, self.workflow, self.workflow_name).count(None) != 2:
            raise ValueError(
                'Send exactly one of "prompt" (a text), "workflow" (a graph in ComfyUI\'s API format) and '
                '"workflow_name" (a saved workflow).'
            )
        given = self.model_fields_set
        prompt_fields = given & PROMPT_FIELDS
        if self.prompt is None and prompt_fields:
            raise ValueError(
                f'These fields can only be sent with "prompt": {", ".join(sorted(prompt_fields))}. Set the values in '
                "the nodes "
                "of the workflow instead."
            )
        image_fields = given & SOURCE_IMAGE_FIELDS
        if self.image is None and image_fields:
            raise ValueError(f'These fields can only be sent with "image": {", ".join(sorted(image_fields))}.')
        if self.prompt is not None and "randomize_seeds" in given:
            raise ValueError(
                '"randomize_seeds" can only be sent with "workflow" or "workflow_name". With "prompt", send "seed": -1 '
                "for a random seed."
            )
        workflow_fields = given & SAVED_WORKFLOW_FIELDS
        if self.workflow_name is None and workflow_fields:
            raise ValueError(
                f'These fields can only be sent with "workflow_name": {", ".join(sorted(workflow_fields))}.'
            )
        return self


PROMPT_FIELDS = frozenset({
    "negative_prompt", "width", "height", "steps", "cfg_scale", "sampler", "scheduler", "seed", "num_images", "model",
    "image", "mask", "denoise",
})  # fmt: skip


SOURCE_IMAGE_FIELDS = frozenset({"mask", "denoise"})


SAVED_WORKFLOW_FIELDS = frozenset({"version", "parameters"})
