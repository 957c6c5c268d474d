"""Ended jobs go: when their owner says so, and when their time is over."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.jobs import STATUS_OF_STATE, JobGraph, ReadJobGraph, UnknownJob
from contracts.scheduler.purges import ExistingJobs, FindJobs, JobNotEnded, JobStopping, PurgeJob, PurgeReply
from scheduler.domain.states import is_final
from scheduler.store import purges

BATCH = 100  # jobs that one transaction deletes
STOPPING_S = 1  # a node that is asked to stop does so in about this time


class JobPurger:
    """Deletes jobs. Whoever else has something of them hears it from the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge(self, tenant_id: UUID, command: PurgeJob) -> PurgeReply:
        """Delete the job; when this returns, that is committed. Twice is once: the second time there is no such job.

        Raises:
            UnknownJob: the tenant has none of that id.
            JobNotEnded: it waits or runs.
            JobStopping: it was cancelled, and a node has not let go of it yet.
        """
        async with self._database.direct() as connection:
            job = await purges.hold(connection, tenant_id, command.job_id)
            if job is None:
                raise UnknownJob
            if not is_final(job.state):
                raise JobNotEnded(status=STATUS_OF_STATE[job.state])
            if job.stopping:
                raise JobStopping(retry_after_s=STOPPING_S)
            await purges.purge(connection, [job], with_inputs=True)
        log.info("scheduler.job.purged", job_id=str(command.job_id))
        return PurgeReply()

    async def purge_due(self) -> None:
        """Delete every job that ended longer ago than its tenant keeps results. Several schedulers share the work."""
        while True:
            async with self._database.direct() as connection:
                due = await purges.hold_due(connection, batch=BATCH)
                if due:
                    await purges.purge(connection, due, with_inputs=False)
            if due:
                log.info("scheduler.jobs.outlived", count=len(due))
            if len(due) < BATCH:
                return

    async def forget(self) -> None:
        """Free the idempotency keys of purged jobs that are a day old, and count their ends no more."""
        async with self._database.single() as connection:
            await purges.forget(connection)

    async def graph(self, tenant_id: UUID, query: ReadJobGraph) -> JobGraph:
        """The workflow of one of the tenant's jobs.

        Raises:
            UnknownJob: the tenant has none of that id.
        """
        async with self._database.single() as connection:
            found = await purges.graph(connection, tenant_id, query.job_id)
        if found is None:
            raise UnknownJob
        return JobGraph(**found)

    async def find(self, query: FindJobs) -> ExistingJobs:
        """Those of the jobs that there are, and those that have ended."""
        async with self._database.single() as connection:
            found = await purges.found(connection, query.job_ids)
        return ExistingJobs(
            job_ids=tuple(found), ended=tuple(job_id for job_id, state in found.items() if is_final(state))
        )
