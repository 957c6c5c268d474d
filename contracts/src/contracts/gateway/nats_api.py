"""The API for external systems that connect to NATS."""

from uuid import UUID

from pydantic import ConfigDict

from contracts.gateway.submissions import Submission
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Rpc


class NatsJobRequest(StrictModel):
    """Identifies a job of an external system."""

    job_id: UUID


class HttpBody(TolerantModel):
    """The same body as the HTTP response: a job, or a problem (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="allow")


NATS_SUBMIT_JOB = Rpc(
    kind=MessageKind.RPC,
    owner="gateway",
    noun="job",
    verb="submit",
    payload=Submission,
    reply=HttpBody,
    description="An external system submits a job.",
    producers=("outside",),
    consumers=("gateway",),
)
NATS_READ_JOB = Rpc(
    kind=MessageKind.RPC,
    owner="gateway",
    noun="job",
    verb="read",
    payload=NatsJobRequest,
    reply=HttpBody,
    description="An external system reads its job.",
    producers=("outside",),
    consumers=("gateway",),
)
NATS_CANCEL_JOB = Rpc(
    kind=MessageKind.RPC,
    owner="gateway",
    noun="job",
    verb="cancel",
    payload=NatsJobRequest,
    reply=HttpBody,
    description="An external system cancels its job.",
    producers=("outside",),
    consumers=("gateway",),
)

TOPICS = (NATS_SUBMIT_JOB, NATS_READ_JOB, NATS_CANCEL_JOB)
