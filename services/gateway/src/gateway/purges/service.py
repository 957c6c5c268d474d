"""Deletes the data of purged jobs: the files first, then the rows.

A process that is killed in between finds the rows again and starts over. Deleting a missing file is not an error.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.purges import FIND_JOBS, MAX_FIND_JOBS, FindJobs, JobPurged
from contracts.wire.errors import RelayedRefusal, Unavailable
from gateway.purges.store import PurgeStore
from gateway.storage.objects import ArtifactStore

BATCH_SIZE = 100  # artifacts deleted per batch
MAX_MISSED = 20  # missed purges of one batch; the scheduler sends lost messages again, so few purges are ever missed
BEFORE_FIRST_JOB = UUID(int=0)


class PurgedDataRemover:
    """Deletes the data of purged jobs, and detects purges whose message was lost."""

    def __init__(self, bus: Bus, purges: PurgeStore, objects: ArtifactStore) -> None:
        self._bus, self._purges, self._objects = bus, purges, objects
        self._after = BEFORE_FIRST_JOB

    async def delete_purged_jobs(self, purges: Sequence[JobPurged]) -> None:
        """Delete the outputs and shares of these jobs, and refuse later outputs. Idempotent.

        Also deletes the uploads that only these jobs use, if the purge includes inputs. Uploads that were copied from
        the outputs expire.

        Raises:
            StoreNotPaired: the artifact store is not paired with the database; the purge is repeated later.
        """
        if not purges:
            return
        self._objects.status.require_pairing()
        await self._purges.record_purges(purges)
        for job in purges:
            # By folder, too: files of an upload that was interrupted before its row was written are in no table.
            await self._objects.delete_folder(f"{job.tenant_id}/{job.job_id}")
        if with_inputs := [job.job_id for job in purges if job.with_inputs]:
            await self._purges.delete_exclusive_uploads(with_inputs, self._objects.delete)
        await self._purges.expire_uploads_from_outputs([job.job_id for job in purges])
        await self._purges.delete_shares([job.job_id for job in purges])
        await self._purges.delete_upload_uses([job.job_id for job in purges])
        await self.delete_leftovers()

    async def delete_leftovers(self) -> None:
        """Delete what is left of purged jobs, such as an upload that overlapped with the purge."""
        self._objects.status.require_pairing()
        while leftovers := await self._purges.list_leftovers(limit=BATCH_SIZE):
            for row in leftovers:
                await self._objects.delete(row["key"])
            await self._purges.delete_artifacts(row["id"] for row in leftovers)
            log.info("gateway.outputs.removed", count=len(leftovers))
        await self._purges.prune()

    async def detect_missed_purges(self) -> None:
        """Look up the next batch of jobs with outputs in the scheduler, starting over after the last.

        This detects a purge whose message was lost with its stream. Jobs that the scheduler does not know count as
        purged, unless there are more than ``MAX_MISSED`` of them: then its database is empty, restored or another one.
        """
        jobs = {
            row["job_id"]: row["tenant_id"]
            for row in await self._purges.list_jobs_with_artifacts(self._after, limit=MAX_FIND_JOBS)
        }
        if jobs:
            try:
                found = await self._bus.request(FIND_JOBS, FindJobs(job_ids=tuple(jobs)))
            except (Unavailable, RelayedRefusal):
                return
            now = datetime.now(UTC)
            missing = [
                JobPurged(job_id=job_id, tenant_id=jobs[job_id], with_inputs=False, at=now)
                for job_id in jobs.keys() - set(found.job_ids)
            ]
            if len(missing) > MAX_MISSED:
                log.error(
                    "gateway.purges.implausible",
                    unknown=len(missing),
                    asked=len(jobs),
                    reason="Too many jobs with results are unknown to the scheduler. Nothing was deleted. Check "
                    "SCHEDULER_DATABASE_URL, and whether its database was restored from an older backup.",
                )
            elif missing:
                log.warning("gateway.purges.missed", count=len(missing))
                await self.delete_purged_jobs(missing)
        self._after = max(jobs) if len(jobs) == MAX_FIND_JOBS else BEFORE_FIRST_JOB
