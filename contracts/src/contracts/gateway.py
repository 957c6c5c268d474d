"""Words that the gateway owns: submissions as clients write them, artifacts, and the door for other systems."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Traffic

Label = Annotated[str, Field(min_length=1, max_length=63)]
WorkflowName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


OUTPUT_PREFIX = "output:"  # before the id of an output that is to be an input


def _check_upload_id(value: Any, validate: ValidatorFunctionWrapHandler) -> str:
    try:
        return str(validate(value))
    except ValidationError:
        message = (
            "Send the id of an upload here, as POST /api/v1/upload returns it, or output:<id> with the id of an output "
            "of one of your jobs."
        )
        raise PydanticCustomError("upload_id_invalid", message) from None


UploadId = Annotated[
    str,
    Field(
        pattern=r"^(output:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        min_length=36,
        max_length=43,
        description="an upload, or output:<id> for an output of an own job",
    ),
    WrapValidator(_check_upload_id),
]


class Submission(Command):
    """What a client sends to have a job run: exactly one of ``prompt``, ``workflow``, ``workflow_name``.

    With ``image``, an upload's id or ``output:`` and an output's, a prompt is drawn over that picture, ``denoise`` of
    it anew; with ``mask`` too only where that is white. ``workflow`` is a graph in API format, or a file of ComfyUI's
    editor, which is made one. A job that leaves no output completes with a warning, or fails with ``on_no_outputs``
    "fail".

    A seed of -1 in a workflow is random. With ``randomize_seeds`` each of its seeds is, whatever number it has; the
    job tells them as ``seeds``.

    The same body is taken by ``POST /api/v1/jobs`` and by an outside system's ``jobs.submit``.
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
    denoise: Annotated[float, Field(ge=0.01, le=1)] | None = None  # a node prepares steps / denoise of them, one by one
    workflow: dict[str, Any] | None = None
    extra_data: dict[str, Any] | None = None  # for nodes, as ComfyUI's clients send it beside a graph
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
    def _exactly_one(self) -> Self:
        if (self.prompt, self.workflow, self.workflow_name).count(None) != 2:
            raise ValueError(
                'Send exactly one of "prompt" (a text), "workflow" (a graph in ComfyUI\'s API format) and '
                '"workflow_name" (a saved workflow).'
            )
        given = self.model_fields_set
        drawn = given & PICTURE_FIELDS
        if self.prompt is None and drawn:
            raise ValueError(
                f'These fields can only be sent with "prompt": {", ".join(sorted(drawn))}. Set the values in the nodes '
                "of the workflow instead."
            )
        over = given & OVER_FIELDS
        if self.image is None and over:
            raise ValueError(f'These fields can only be sent with "image": {", ".join(sorted(over))}.')
        if self.prompt is not None and "randomize_seeds" in given:
            raise ValueError(
                '"randomize_seeds" can only be sent with "workflow" or "workflow_name". With "prompt", send "seed": -1 '
                "for a random seed."
            )
        named = given & SAVED_FIELDS
        if self.workflow_name is None and named:
            raise ValueError(f'These fields can only be sent with "workflow_name": {", ".join(sorted(named))}.')
        return self


PICTURE_FIELDS = frozenset({
    "negative_prompt", "width", "height", "steps", "cfg_scale", "sampler", "scheduler", "seed", "num_images", "model",
    "image", "mask", "denoise",
})  # fmt: skip

OVER_FIELDS = frozenset({"mask", "denoise"})

SAVED_FIELDS = frozenset({"version", "parameters"})


class DoorJob(Command):
    """What an outside system names one of its jobs by."""

    job_id: UUID


class Body(Fact):
    """An answer with the very body that HTTP would give: a job, or a problem (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="allow")


class GrantOutputs(Command):
    """An executor asks where the outputs of one attempt go."""

    job_id: UUID
    attempt: int
    count: Annotated[int, Field(ge=1, le=10_000)]


class OutputGrant(Fact):
    """Where to PUT the bytes of one output: a URL that works for this output alone until ``expires_at``."""

    id: UUID
    url: str


class OutputsGranted(Fact):
    """One grant for each output asked for, in order."""

    grants: tuple[OutputGrant, ...]
    expires_at: datetime


class GrantInputs(Command):
    """An executor asks for the uploads that a job names, to hand them to the node that runs it."""

    job_id: UUID


class InputGrant(Fact):
    """Where to GET the bytes of one upload: a URL that works for this upload alone until ``expires_at``.

    Attributes:
        name: what the node is to call the file, one path component. The same for the same bytes of the same tenant;
            nobody else can guess it.
        sha256: of the bytes, hex.
    """

    id: UUID
    url: str
    name: str
    size_bytes: int
    sha256: str


class InputsGranted(Fact):
    """One grant for each upload that is kept for the job."""

    grants: tuple[InputGrant, ...]
    expires_at: datetime


class StoredOutput(Fact):
    """What the store holds now."""

    id: UUID
    size_bytes: int
    sha256: str


class NoArtifact(Refusal):
    """There is no such output. GET /api/v1/jobs/<id>/outputs lists the outputs of a job."""

    kind, code = Kind.NOT_FOUND, "output.not_found"


class NotFinished(Refusal):
    """The job has no result, because {reason}."""

    kind, code = Kind.CONFLICT, "job.not_finished"


def _door(verb: Literal["submit", "read", "cancel"], payload: Any, says: str) -> Any:
    """An RPC that outside systems may ask; the server writes their tenant into the subject."""
    return Rpc(
        kind=Traffic.RPC,
        owner="gateway",
        noun="job",
        verb=verb,
        payload=payload,
        reply=Body,
        says=says,
        producers=("outside",),
        consumers=("gateway",),
    )


DOOR_SUBMIT: Rpc[Submission, Body] = _door("submit", Submission, "an outside system submits a job")
DOOR_READ: Rpc[DoorJob, Body] = _door("read", DoorJob, "an outside system asks how its job stands")
DOOR_CANCEL: Rpc[DoorJob, Body] = _door("cancel", DoorJob, "an outside system ends its job")
GRANT_OUTPUTS: Rpc[GrantOutputs, OutputsGranted] = Rpc(
    kind=Traffic.RPC,
    owner="gateway",
    noun="outputs",
    verb="grant",
    payload=GrantOutputs,
    reply=OutputsGranted,
    says="where the outputs of an attempt go",
    producers=("executor",),
    consumers=("gateway",),
    key="node",
)
GRANT_INPUTS: Rpc[GrantInputs, InputsGranted] = Rpc(
    kind=Traffic.RPC,
    owner="gateway",
    noun="inputs",
    verb="grant",
    payload=GrantInputs,
    reply=InputsGranted,
    says="where the uploads of a job are",
    producers=("executor",),
    consumers=("gateway",),
    key="node",
)

TOPICS = (DOOR_SUBMIT, DOOR_READ, DOOR_CANCEL, GRANT_OUTPUTS, GRANT_INPUTS)
