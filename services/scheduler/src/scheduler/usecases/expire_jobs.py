"""Jobs that should have started by now are ended."""

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.jobs import JobError
from scheduler.domain.settlement import never_ran
from scheduler.domain.states import Cause
from scheduler.store import jobs, tenants, transitions
from scheduler.usecases.announce import Announcer

TOO_LATE = JobError(
    code="job.start_time_passed",
    message="No node was free within start_within_seconds. Allow more, or submit it later.",
)


class JobExpirer:
    """Ends queued jobs whose time to start has passed, at no cost."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def expire(self) -> None:
        """End what is overdue."""
        async with self._database.direct() as connection:
            overdue = await jobs.overdue(connection)
        for row in overdue:
            async with self._database.direct() as connection:
                locked_at = await tenants.lock(connection, row["tenant_id"])
                job = await transitions.hold(connection, row["tenant_id"], row["id"])
                if locked_at is None or job is None:
                    continue
                effects, now = never_ran(job), locked_at
                event = await transitions.move(
                    connection, job, Cause.START_TIME_PASSED, effects, now=now, error=TOO_LATE
                )
            if event is not None:
                await self._announcer.say(event)
                log.info("scheduler.job.expired", job_id=str(job.id))
