"""Expires queued jobs that did not start in time."""

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.jobs import JobError
from scheduler.domain.settlement import compute_unstarted_end_effects
from scheduler.domain.states import Cause
from scheduler.store import jobs, tenants, transitions
from scheduler.usecases.publish_job_events import JobEventPublisher

START_TIME_PASSED = JobError(
    code="job.start_time_passed",
    message="The job did not start within its time limit: start_within_seconds, or the limit of the tier. Allow more, "
    "or submit it later.",
)


class JobExpirer:
    def __init__(self, database: Database, publisher: JobEventPublisher) -> None:
        self._database, self._publisher = database, publisher

    async def expire_jobs(self) -> None:
        """Expire every queued job whose ``start_by`` has passed. Its reserved images are released."""
        async with self._database.transaction() as connection:
            late_jobs = await jobs.list_jobs_past_start_by(connection)
        for row in late_jobs:
            async with self._database.transaction() as connection:
                locked_at = await tenants.lock_tenant(connection, row["tenant_id"])
                job = await transitions.lock_job(connection, row["tenant_id"], row["id"])
                if locked_at is None or job is None or not await jobs.is_past_start_by(connection, job.id):
                    continue  # it may have started after it was listed
                effects = compute_unstarted_end_effects(job)
                transition = await transitions.apply_transition(
                    connection, job, Cause.START_TIME_PASSED, effects, now=locked_at, error=START_TIME_PASSED
                )
            if transition is not None:
                await self._publisher.publish_live_event(transition)
                log.info("scheduler.job.expired", job_id=str(job.id))
