"""Deletes ended jobs: on request of their owner, and when their retention is over."""

from collections.abc import Sequence
from uuid import UUID

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.jobs import STATUS_OF_STATE, JobGraph, ReadJobGraph, UnknownJob
from contracts.scheduler.purges import ExistingJobs, FindJobs, JobNotEnded, JobStopping, PurgeJob, PurgeReply
from scheduler.domain.states import is_final
from scheduler.store import purges

BATCH_SIZE = 100  # jobs deleted in one transaction
TENANT_PAGE_SIZE = 1000  # tenants read in one statement
NIL_ID = UUID(int=0)
STOPPING_RETRY_S = 1  # a node stops a cancelled prompt in about a second


class JobPurger:
    """Deletes jobs. Services that hold files of a job receive an event from the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge_job(self, tenant_id: UUID, command: PurgeJob) -> PurgeReply:
        """Delete the job. The deletion is committed when this returns.

        Raises:
            UnknownJob: the tenant has no job with this id, for example because it was deleted before.
            JobNotEnded: the job is queued or running.
            JobStopping: the job was cancelled, and its node has not stopped yet.
        """
        async with self._database.transaction() as connection:
            job = await purges.lock_job_to_purge(connection, tenant_id, command.job_id)
            if job is None:
                raise UnknownJob
            if not is_final(job.state):
                raise JobNotEnded(status=STATUS_OF_STATE[job.state])
            if job.is_stopping:
                raise JobStopping(retry_after_s=STOPPING_RETRY_S)
            await purges.delete_jobs(connection, [job], with_inputs=True)
        log.info("scheduler.job.purged", job_id=str(command.job_id))
        return PurgeReply()

    async def purge_expired_jobs(self) -> None:
        """Delete every job past its tenant's retention. Safe to run in several schedulers at once."""
        after, count, has_more = NIL_ID, 0, True
        while has_more:
            async with self._database.connection() as connection:
                page = await purges.list_tenants_to_purge(connection, after, page=TENANT_PAGE_SIZE)
            if with_expired_jobs := [tenant_id for tenant_id, has_expired_jobs in page if has_expired_jobs]:
                count += await self._purge_expired_jobs_of(with_expired_jobs)
            has_more = len(page) == TENANT_PAGE_SIZE
            after = page[-1][0] if page else after
        if count:
            log.info("scheduler.jobs.retention_ended", count=count)

    async def delete_expired_records(self) -> None:
        """Delete the expired idempotency keys and statistics of purged jobs."""
        await purges.delete_expired_records(self._database)

    async def _purge_expired_jobs_of(self, tenant_ids: Sequence[UUID]) -> int:
        count = 0
        while True:
            async with self._database.transaction() as connection:
                expired = await purges.lock_expired_jobs(connection, tenant_ids, batch=BATCH_SIZE)
                if expired:
                    await purges.delete_jobs(connection, expired, with_inputs=False)
            count += len(expired)
            if len(expired) < BATCH_SIZE:
                return count

    async def read_graph(self, tenant_id: UUID, query: ReadJobGraph) -> JobGraph:
        """Return the workflow of one of the tenant's jobs.

        Raises:
            UnknownJob: the tenant has no job with this id.
        """
        async with self._database.connection() as connection:
            found = await purges.load_graph(connection, tenant_id, query.job_id)
        if found is None:
            raise UnknownJob
        return JobGraph(**found)

    async def find_jobs(self, query: FindJobs) -> ExistingJobs:
        """Return which of the jobs exist, and which of these have ended."""
        async with self._database.connection() as connection:
            found = await purges.find_job_states(connection, query.job_ids)
        return ExistingJobs(
            job_ids=tuple(found), ended=tuple(job_id for job_id, state in found.items() if is_final(state))
        )
