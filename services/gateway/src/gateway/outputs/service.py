"""Finds the stored outputs of completed jobs."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.gateway.outputs import JobNotFinished, UnknownOutput
from contracts.scheduler.jobs import READ_JOB, STATUS_OF_STATE, Job, JobStatus, ReadJob, UnknownJob
from contracts.scheduler.outputs import Output
from contracts.wire.errors import Refusal
from gateway.jobs.no_result import build_no_result_refusal
from gateway.jobs.schemas import choose_saved_or_previews, pick_output
from gateway.jobs.service import parse_job_id
from gateway.outputs.archive import Archive, build_job_archive, build_jobs_archive
from gateway.outputs.errors import TooManyFiles
from gateway.signing.links import OutputLink
from gateway.storage.artifacts import Artifact, ArtifactRecords
from gateway.storage.objects import ArtifactStore

CONCURRENT_LOOKUPS = 8
MAX_ARCHIVED_FILES = 10_000


class ResultService:
    """The outputs of a tenant's jobs, with the records of their bytes.

    Methods that take one job raise JobNotFinished if it is not completed, and UnknownJob (or RelayedRefusal) if the
    tenant has no such job.
    """

    def __init__(self, bus: Bus, artifacts: ArtifactRecords, objects: ArtifactStore) -> None:
        self._bus, self._artifacts, self._objects = bus, artifacts, objects

    async def read_completed_job(self, text: str, *, tenant: str) -> Job:
        job = (await self._bus.request(READ_JOB, ReadJob(job_id=parse_job_id(text)), tenant=tenant)).job
        if STATUS_OF_STATE[job.state] is not JobStatus.COMPLETED:
            raise build_no_result_refusal(job)
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
        artifact = await self._artifacts.find_artifact(output.id, tenant_id=tenant) if output else None
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
        outputs = _select_outputs(job, temporary=temporary)
        if not outputs:
            raise UnknownOutput
        found = await self._find_stored(outputs, tenant)
        if len(found) < len(outputs):
            raise UnknownOutput
        return build_job_archive(found, job.completed_at or job.created_at)

    async def find_archive_of_jobs(self, job_ids: Sequence[UUID], *, tenant: str, temporary: bool | None) -> Archive:
        """Return the outputs of several jobs. Jobs that do not exist or have no result are left out.

        Args:
            job_ids: ids of jobs.
            tenant: owner of the jobs.
            temporary: applied to each job; see ``find_archive``.

        Raises:
            UnknownOutput: none of the jobs has an output.
            TooManyFiles: together they have more than ``MAX_ARCHIVED_FILES``.
        """
        slots = asyncio.Semaphore(CONCURRENT_LOOKUPS)

        async def find_completed(job_id: UUID) -> Job | None:
            async with slots:
                try:
                    return await self.read_completed_job(str(job_id), tenant=tenant)
                except Refusal as refusal:
                    if refusal.details.code in {UnknownJob.code, JobNotFinished.code}:
                        return None
                    raise

        jobs = [job for job in await asyncio.gather(*map(find_completed, dict.fromkeys(job_ids))) if job]
        chosen = [(job, _select_outputs(job, temporary=temporary)) for job in jobs]
        if sum(len(outputs) for _, outputs in chosen) > MAX_ARCHIVED_FILES:
            raise TooManyFiles(limit=MAX_ARCHIVED_FILES)
        found = [(job, await self._find_stored(outputs, tenant)) for job, outputs in chosen]
        if not any(stored for _, stored in found):
            raise UnknownOutput
        return build_jobs_archive(found)

    async def find_linked_artifact(self, link: OutputLink) -> Artifact:
        """Return the output that a signed link permits to read.

        Raises:
            UnknownOutput: the output was deleted.
        """
        artifact = await self._artifacts.find_artifact(link.output_id, tenant_id=link.tenant)
        if artifact is None:
            raise UnknownOutput
        return artifact

    async def _find_stored(self, outputs: Sequence[Output], tenant: str) -> list[tuple[Output, Artifact]]:
        """Return those outputs whose bytes are stored."""
        records = await self._artifacts.find_artifacts([output.id for output in outputs], tenant_id=tenant)
        slots = asyncio.Semaphore(CONCURRENT_LOOKUPS)

        async def is_stored(artifact: Artifact | None) -> bool:
            async with slots:
                return artifact is not None and await self._objects.find_size(artifact.key) == artifact.size_bytes

        stored = await asyncio.gather(*(is_stored(records.get(output.id)) for output in outputs))
        return [(output, records[output.id]) for output, is_present in zip(outputs, stored, strict=True) if is_present]


def _select_outputs(job: Job, *, temporary: bool | None) -> list[Output]:
    if temporary is None:
        return choose_saved_or_previews(job.outputs)
    return [output for output in job.outputs if output.temporary is temporary]
