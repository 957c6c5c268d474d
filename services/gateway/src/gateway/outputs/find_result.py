"""Which stored bytes a client means by the result of a job."""

from chassis.messaging.bus import Bus
from contracts.gateway.outputs import UnknownOutput
from contracts.scheduler.jobs import READ_JOB, STATUS_OF_STATE, Job, JobStatus, ReadJob
from contracts.scheduler.outputs import Output
from gateway.jobs.no_result import without_result
from gateway.jobs.read import job_id_of
from gateway.jobs.schemas import pick_output
from gateway.storage.artifacts import Artifact, Artifacts


async def read_finished(text: str, *, tenant: str, bus: Bus) -> Job:
    """The job, if it is completed.

    Raises:
        JobNotFinished: it is not, or never will be; of a failed job errors has what its ``error`` says.
    """
    job = (await bus.request(READ_JOB, ReadJob(job_id=job_id_of(text)), tenant=tenant)).job
    if STATUS_OF_STATE[job.state] is not JobStatus.COMPLETED:
        raise without_result(job)
    return job


async def find_result(
    text: str,
    *,
    tenant: str,
    index: int | None,
    node: str | None,
    temporary: bool | None,
    bus: Bus,
    artifacts: Artifacts,
) -> tuple[Output, Artifact]:
    """The output meant and where its bytes are.

    Raises:
        JobNotFinished: the job is not completed.
        UnknownOutput: it has no such output, or its bytes are gone.
    """
    job = await read_finished(text, tenant=tenant, bus=bus)
    output = pick_output(job.outputs, index=index, node=node, temporary=temporary)
    artifact = await artifacts.get(output.id, tenant_id=tenant) if output else None
    if output is None or artifact is None:
        raise UnknownOutput
    return output, artifact
