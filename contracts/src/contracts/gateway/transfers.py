"""Signed URLs by which executors upload outputs and download inputs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import Rpc, Traffic


class GrantOutputs(StrictModel):
    """An executor asks where the outputs of one attempt go."""

    job_id: UUID
    attempt: int
    count: Annotated[int, Field(ge=1, le=10_000)]


class OutputGrant(TolerantModel):
    """Where to PUT the bytes of one output: a URL that works for this output alone until ``expires_at``."""

    id: UUID
    url: str


class OutputsGranted(TolerantModel):
    """One grant for each output asked for, in order."""

    grants: tuple[OutputGrant, ...]
    expires_at: datetime


class GrantInputs(StrictModel):
    """An executor asks for the uploads that a job names, to hand them to the node that runs it."""

    job_id: UUID


class InputGrant(TolerantModel):
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


class InputsGranted(TolerantModel):
    """One grant for each upload that is kept for the job."""

    grants: tuple[InputGrant, ...]
    expires_at: datetime


class StoredOutput(TolerantModel):
    """What the store holds now."""

    id: UUID
    size_bytes: int
    sha256: str


GRANT_OUTPUTS = Rpc(
    kind=Traffic.RPC,
    owner="gateway",
    noun="outputs",
    verb="grant",
    key="node",
    payload=GrantOutputs,
    reply=OutputsGranted,
    description="Get upload URLs for the outputs of an attempt.",
    producers=("executor",),
    consumers=("gateway",),
)
GRANT_INPUTS = Rpc(
    kind=Traffic.RPC,
    owner="gateway",
    noun="inputs",
    verb="grant",
    key="node",
    payload=GrantInputs,
    reply=InputsGranted,
    description="Get download URLs for the uploads that a job uses.",
    producers=("executor",),
    consumers=("gateway",),
)

TOPICS = (GRANT_OUTPUTS, GRANT_INPUTS)
