"""Signed URLs with which executors upload outputs and download inputs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Rpc


class GrantOutputs(StrictModel):
    """Request upload URLs for the outputs of one attempt."""

    job_id: UUID
    attempt: int
    count: Annotated[int, Field(ge=1, le=10_000)]


class OutputGrant(TolerantModel):
    """A URL that accepts a PUT of one output until ``expires_at``."""

    id: UUID
    url: str


class OutputsGranted(TolerantModel):
    """One grant for each requested output, in the same order."""

    grants: tuple[OutputGrant, ...]
    expires_at: datetime


class GrantInputs(StrictModel):
    """Request download URLs for the uploads that a job uses."""

    job_id: UUID


class InputGrant(TolerantModel):
    """A URL that answers a GET of one upload until ``expires_at``.

    Attributes:
        name: file name to use on the node, one path component. The same content of the same tenant always gets the same
            name; other tenants cannot guess it.
        sha256: SHA-256 of the content, hex.
    """

    id: UUID
    url: str
    name: str
    size_bytes: int
    sha256: str


class InputsGranted(TolerantModel):
    """One grant for each upload that is stored for the job."""

    grants: tuple[InputGrant, ...]
    expires_at: datetime


class StorageFull(Refusal):
    """The server has no space left for files and results. Nothing was stored. Try again after Retry-After."""

    kind, code = ErrorKind.UNAVAILABLE, "storage.full"


class StoredOutput(TolerantModel):
    """An output as it is stored."""

    id: UUID
    size_bytes: int
    sha256: str


GRANT_OUTPUTS = Rpc(
    kind=MessageKind.RPC,
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
    kind=MessageKind.RPC,
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
