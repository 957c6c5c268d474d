"""The door for other systems: the REST API's answers, word for word, to requests over NATS.

The tenant comes from the subject, where the NATS server wrote it.
"""

from collections.abc import Callable
from uuid import UUID

from chassis.bus import Bus
from chassis.ids import new_id
from chassis.logs import bound_here
from chassis.web import problem
from contracts.gateway import DOOR_CANCEL, DOOR_READ, DOOR_SUBMIT, Body, DoorJob, Submission
from contracts.scheduler import Job
from contracts.wire.errors import Refused
from contracts.wire.topic import Address
from gateway.domain.errors import BodyTooLarge
from gateway.domain.json_body import MAX_BYTES, read_json, read_model
from gateway.domain.public_job import present
from gateway.usecases.read_job import cancel_job, read_job
from gateway.usecases.submit_job import Submitter

IDEMPOTENCY_HEADER = "Idempotency-Key"


def open_door(bus: Bus, submitter: Submitter, public_url: str, *, used: Callable[[UUID], None]) -> None:
    """Answer outside systems; ``used`` is told whose use has changed. To be called before the bus starts."""

    def body(job: Job) -> Body:
        return Body.model_validate(present(job, public_url).model_dump(mode="json"))

    async def submit(submission: Submission, address: Address) -> Body:
        sent = address.headers.get(IDEMPOTENCY_HEADER)
        accepted = await submitter.submit(
            submission, tenant=address.tenant, idempotency_keys=[] if sent is None else [sent]
        )
        return body(accepted.job)

    async def read(asked: DoorJob, address: Address) -> Body:
        return body(await read_job(str(asked.job_id), tenant=address.tenant, bus=bus))

    async def cancel(asked: DoorJob, address: Address) -> Body:
        job = await cancel_job(str(asked.job_id), tenant=address.tenant, bus=bus)
        used(job.tenant_id)
        return body(job)

    bus.serve(DOOR_SUBMIT, submit, read=_submission, refusal_body=_problem)
    bus.serve(DOOR_READ, read, refusal_body=_problem)
    bus.serve(DOOR_CANCEL, cancel, refusal_body=_problem)


def _submission(data: bytes) -> Submission:
    """The payload, read with the same care as a request body."""
    if len(data) > MAX_BYTES:
        raise BodyTooLarge(limit=MAX_BYTES)
    return read_model(Submission, read_json(data))


def _problem(refused: Refused) -> Body:
    request_id = bound_here().get("request_id") or new_id().hex
    return Body.model_validate(problem(refused, request_id))
