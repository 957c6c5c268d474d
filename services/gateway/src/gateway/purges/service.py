"""Records purges, and deletes the data of purged jobs: the files first, then the rows.

A recorded purge is pending until all data of its job is deleted. A process that is killed in between finds the purge
again and starts over. Deleting a missing file is not an error.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from obstore.exceptions import BaseError

from chassis.database.statement import Row
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
    """Records purges, deletes the data of purged jobs, and detects purges whose message was lost."""

    def __init__(self, bus: Bus, purges: PurgeStore, objects: ArtifactStore) -> None:
        self._bus, self._purges, self._objects = bus, purges, objects
        self._after = BEFORE_FIRST_JOB

    def require_pairing(self) -> None:
        """Refuse unless the artifact store is known to be paired with the database.

        Raises:
            StoreNotPaired: it is not, so nothing can be deleted, and this may be the wrong database.
        """
        self._objects.status.require_pairing()

    async def record_purges(self, purges: Sequence[JobPurged]) -> None:
        """Record that all data of these jobs is to be deleted, and refuse later outputs. Idempotent.

        Needs the database only, so a purge is not lost while the artifact store is unavailable or mismatched.
        ``delete_recorded`` deletes the data. Uploads that were copied from the outputs expire.
        """
        await self._purges.record_purges(purges)

    async def delete_recorded(self) -> None:
        """Delete the outputs of all jobs whose purge is recorded, and the uploads of each purge that includes inputs.

        Only uploads that no job uses any more are deleted. A job whose files cannot be deleted remains for the next
        call, and does not stop the deletion of the others.

        Raises:
            StoreNotPaired: the artifact store is not paired with the database.
            OSError, BaseError: files of some jobs could not be deleted; the error is that of the last one.
        """
        after, failed = BEFORE_FIRST_JOB, 0
        last_error: Exception | None = None
        while jobs := await self._purges.list_pending(after, limit=BATCH_SIZE):
            deleted = []
            for job in jobs:
                self.require_pairing()
                try:
                    await self._delete_files(job)
                except (OSError, BaseError) as error:
                    failed, last_error = failed + 1, error
                else:
                    deleted.append(job)
            if deleted:
                await self._purges.end_pending(deleted)
            after = jobs[-1]["job_id"]
        if last_error is not None:
            log.warning("gateway.purges.files_not_deleted", jobs=failed, error=str(last_error))
            raise last_error

    async def _delete_files(self, job: Row) -> None:
        # By folder: files of an upload that was interrupted before its row was written are in no table.
        await self._objects.delete_folder(f"{job['tenant_id']}/{job['job_id']}")
        if job["with_inputs"]:
            await self._purges.delete_inputs(job["job_id"], self._objects.delete)

    async def delete_leftovers(self) -> None:
        """Delete outputs of recently purged jobs that arrived after the deletion, such as an upload in progress.

        Raises:
            StoreNotPaired: the artifact store is not paired with the database.
        """
        self.require_pairing()
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

        Raises:
            StoreNotPaired: the artifact store is not paired with the database, which may then be the wrong one.
        """
        self.require_pairing()
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
                await self.record_purges(missing)
        self._after = max(jobs) if len(jobs) == MAX_FIND_JOBS else BEFORE_FIRST_JOB
