"""Finds the stored outputs of completed jobs."""

import asyncio

from chassis.messaging.bus import Bus
from contracts.gateway.outputs import UnknownOutput
from contracts.scheduler.jobs import READ_JOB, STATUS_OF_STATE, Job, JobStatus, ReadJob
from contracts.scheduler.outputs import Output
from gateway.jobs.no_result import no_result_refusal
from gateway.jobs.schemas import pick_output, saved_or_previews
from gateway.jobs.service import parse_job_id
from gateway.outputs.archive import Archive
from gateway.storage.artifacts import Artifact, ArtifactRecords
from gateway.storage.objects import ArtifactStore

CONCURRENT_LOOKUPS = 8


class ResultService:
    """The outputs of a tenant's jobs, with the records of their bytes.

    Every method raises JobNotFinished if the job is not completed, and UnknownJob (also as Relayed) if the tenant has
    no such job.
    """

    def __init__(self, bus: Bus, artifacts: ArtifactRecords, objects: ArtifactStore) -> None:
        self._bus, self._artifacts, self._objects = bus, artifacts, objects

    async def read_completed_job(self, text: str, *, tenant: str) -> Job:
        job = (await self._bus.request(READ_JOB, ReadJob(job_id=parse_job_id(text)), tenant=tenant)).job
        if STATUS_OF_STATE[job.state] is not JobStatus.COMPLETED:
            raise no_result_refusal(job)
        return job

    async def find_result(
        self, text: str, *, tenant: str, index: int | None, node: str | None, temporary: bool | None
    ) -> tuple[Output, Artifact]:
        """Return one output of the job: the one that ``pick_output`` chooses.

        Raises:
            UnknownOutput: the job has no such output, or its bytes were deleted.
        """
        job = await self.read_completed_job(text, tenant=tenant)
        output = pick_output(job.outputs, index=index, node=node, temporary=temporary)
        artifact = await self._artifacts.get(output.id, tenant_id=tenant) if output else None
        if output is None or artifact is None:
            raise UnknownOutput
        return output, artifact

    async def find_archive(self, text: str, *, tenant: str, temporary: bool | None) -> Archive:
        """Return the outputs of the job, after checking that the bytes of each are stored.

        Args:
            text: id of the job.
            tenant: owner of the job.
            temporary: True for previews, False for other outputs, None for other outputs or, without any, previews.

        Raises:
            UnknownOutput: the job has no such output, or the bytes of one were deleted.
        """
        job = await self.read_completed_job(text, tenant=tenant)
        if temporary is None:
            outputs = saved_or_previews(job.outputs)
        else:
            outputs = [output for output in job.outputs if output.temporary is temporary]
        if not outputs:
            raise UnknownOutput
        places = asyncio.Semaphore(CONCURRENT_LOOKUPS)

        async def find_stored(output: Output) -> Artifact | None:
            async with places:
                artifact = await self._artifacts.get(output.id, tenant_id=tenant)
                stored = artifact and await self._objects.size(artifact.key) == artifact.size_bytes
            return artifact if stored else None

        found = await asyncio.gather(*map(find_stored, outputs))
        files = tuple((output, artifact) for output, artifact in zip(outputs, found, strict=True) if artifact)
        if len(files) < len(outputs):
            raise UnknownOutput
        return Archive(files, job.completed_at or job.created_at)
