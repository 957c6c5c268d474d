"""Stored job events, and tombstones of purged jobs."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Statement
from contracts.registry import JOB_EVENTS as JOB_EVENT_STREAM
from contracts.scheduler.jobs import JobEvent

TOMBSTONE_LIFETIME = timedelta(days=4)  # longer than the stream keeps events

# An addition checks for tombstones after it has inserted its events. A purge deletes events after it has inserted its
# tombstones. Neither sees uncommitted rows of the other, so a purge first waits until all running additions have ended.
_PURGES_LOCK = "hashtext('notifier.purges')"
_WAIT_FOR_ADDITIONS = Statement(f"SELECT pg_advisory_xact_lock({_PURGES_LOCK})")
_ADD = Statement(f"""
INSERT INTO job_events (job_id, seq, tenant_id, state, body, at)
SELECT job_id, seq, tenant_id, state, CAST(body AS jsonb), at
FROM (SELECT pg_advisory_xact_lock_shared({_PURGES_LOCK})) AS locked, unnest(
    CAST(:job_ids AS uuid[]), CAST(:seqs AS integer[]), CAST(:tenants AS uuid[]), CAST(:states AS text[]),
    CAST(:bodies AS text[]), CAST(:ats AS timestamptz[])
) AS new_event (job_id, seq, tenant_id, state, body, at)
ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only
_DELETE_PURGED = Statement("""
DELETE FROM job_events e USING purged_jobs p WHERE e.job_id = p.job_id AND p.job_id = ANY(CAST(:job_ids AS uuid[]))
""")
_ADD_TOMBSTONES = Statement("""
INSERT INTO purged_jobs (job_id) SELECT unnest(CAST(:job_ids AS uuid[])) ON CONFLICT DO NOTHING
""")
_DELETE_PURGED_LETTERS = Statement("""
DELETE FROM dead_letters WHERE job_id = ANY(CAST(:job_ids AS uuid[])) AND stream = :stream
""")
_EXPIRED_EVENTS = ExpiredRows("job_events", "at < now() - CAST(:older_than AS interval)")
_EXPIRED_TOMBSTONES = ExpiredRows("purged_jobs", "at < now() - CAST(:older_than AS interval)")
_READ = Statement("""
SELECT body FROM job_events
WHERE job_id = :job_id AND tenant_id = CAST(:tenant_id AS uuid) AND seq > :seq AND seq <= :upto ORDER BY seq
""")
_DELETE_ALL_PURGED = Statement("DELETE FROM job_events e USING purged_jobs p WHERE e.job_id = p.job_id")


class EventStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_events(self, events: Sequence[JobEvent]) -> None:
        """Store events, except those of purged jobs. Existing events stay unchanged."""
        if not events:
            return
        async with self._database.transaction() as connection:
            await _ADD.execute(
                connection,
                job_ids=[event.job_id for event in events],
                seqs=[event.seq for event in events],
                tenants=[event.tenant_id for event in events],
                states=[event.state for event in events],
                bodies=[event.model_dump_json() for event in events],
                ats=[event.at for event in events],
            )
            await _DELETE_PURGED.execute(connection, job_ids=[event.job_id for event in events])

    async def purge_jobs(self, job_ids: Sequence[UUID]) -> None:
        """Delete all events of these jobs, including those that arrive later."""
        if job_ids:
            async with self._database.transaction() as connection:
                await _WAIT_FOR_ADDITIONS.execute(connection)
                await _ADD_TOMBSTONES.execute(connection, job_ids=job_ids)
                await _DELETE_PURGED.execute(connection, job_ids=job_ids)
                await _DELETE_PURGED_LETTERS.execute(connection, job_ids=job_ids, stream=JOB_EVENT_STREAM.name)

    async def read_events(self, job_id: UUID, seq: int, *, tenant_id: str, upto: int) -> list[JobEvent]:
        """Return events of a tenant's job with ``seq`` < number <= ``upto``, in order; some may be missing."""
        async with self._database.connection() as connection:
            rows = await _READ.fetch_all(connection, job_id=job_id, tenant_id=UUID(tenant_id), seq=seq, upto=upto)
            return [JobEvent.model_validate(row["body"]) for row in rows]

    async def prune_events(self, *, older_than: timedelta) -> None:
        """Delete old events, old tombstones, and events of purged jobs that an older release stored."""
        async with self._database.transaction() as connection:
            await _DELETE_ALL_PURGED.execute(connection)
        await _EXPIRED_EVENTS.delete(self._database, older_than=older_than)
        await _EXPIRED_TOMBSTONES.delete(self._database, older_than=TOMBSTONE_LIFETIME)
