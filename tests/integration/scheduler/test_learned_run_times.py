"""Run times and estimates are stored in the database, where several schedulers write and read them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from chassis.database.postgres import Database
from chassis.ids import new_id
from chassis.telemetry.metrics import Metrics
from scheduler.domain.eta import Eta
from scheduler.domain.eta_accuracy import EtaStage, measure_accuracy
from scheduler.domain.run_times import JobKind
from scheduler.store import estimates
from scheduler.usecases.learn_run_times import SAMPLE_SIZE, FinishedRun, RunTimeLearner
from scheduler.usecases.run_time_history import RunTimeHistory
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

REQUIREMENT, FINGERPRINT, RUN_S = 1, 7, 40.0
ESTIMATE = Eta(start_s=30.0, start_p90_s=60.0, end_s=70.0, end_p90_s=90.0)
MAKE_JOB = """
INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
    request_hash, created_at, started_at, completed_at)
VALUES ($1, $2, 'succeeded', 0, 'w', '{}', $3, 1, now()::date, 1, 'h', now() - interval '100 seconds',
    now() - interval '80 seconds', now() - interval '20 seconds')
"""
SAVE_HISTOGRAM = """
INSERT INTO run_times (scope, id, node_class, loads_models, bins) VALUES ('workflow', $1, '', false, '{"40": 1.0}')
"""


@dataclass
class Schedulers:
    """A database without a running scheduler, and the tenant of its jobs."""

    database: Database
    sql: asyncpg.Connection
    other_sql: asyncpg.Connection
    tenant: UUID

    def start_learner(self) -> RunTimeLearner:
        """Return a learner as in one scheduler. It writes only when the test calls ``save_recorded``."""
        return RunTimeLearner(self.database, RunTimeHistory(), Metrics("scheduler"))

    async def add_succeeded_job(self) -> UUID:
        """Add a job that started 20 s after its submission and ended 80 s after it."""
        job_id = new_id()
        await self.sql.execute(MAKE_JOB, job_id, self.tenant, REQUIREMENT)
        return job_id

    async def count_estimates(self, job_ids: list[UUID]) -> int:
        found: int = await self.sql.fetchval("SELECT count(*) FROM job_estimates WHERE job_id = ANY($1)", job_ids)
        return found


@pytest.fixture
async def schedulers(postgres_server: PostgresServer) -> AsyncIterator[Schedulers]:
    url = await postgres_server.create_database("scheduler")
    sql, other_sql = [await asyncpg.connect(url.replace("+asyncpg", "")) for _ in range(2)]
    database, tenant = Database(url, name="scheduler"), new_id()
    await sql.execute("INSERT INTO requirements (id, digest, needs) VALUES ($1, 'd', '{}')", REQUIREMENT)
    await sql.execute("INSERT INTO tenants (id, tier, is_active, weight) VALUES ($1, 'pro', true, 1)", tenant)
    try:
        yield Schedulers(database, sql, other_sql, tenant)
    finally:
        await database.close()
        for connection in (sql, other_sql):
            await connection.close()


@pytest.mark.requirement("table scheduler.job_estimates")
async def test_sample_of_estimates_has_some_that_were_given_after_it_was_full(schedulers: Schedulers) -> None:
    learner, jobs = schedulers.start_learner(), [await schedulers.add_succeeded_job() for _ in range(10)]
    purged = [new_id() for _ in range(SAMPLE_SIZE)]  # their estimates are not written
    for job_id in [*purged, *jobs]:
        learner.record_estimate(job_id, ESTIMATE)
    await learner.save_recorded()
    # The probability that a random sample has none of the last 10 of 60 estimates is 1 in 75 billion.
    assert await schedulers.count_estimates(jobs) > 0


@pytest.mark.requirement("table scheduler.eta_accuracy", "table scheduler.job_estimates")
async def test_estimate_that_another_scheduler_writes_after_the_end_of_the_job_is_compared(
    schedulers: Schedulers,
) -> None:
    learner, other = schedulers.start_learner(), schedulers.start_learner()
    job_id = await schedulers.add_succeeded_job()
    learner.record_run(
        FinishedRun(
            job_id=job_id,
            node="node-1",
            requirement_id=REQUIREMENT,
            fingerprint=FINGERPRINT,
            loads_models=False,
            seconds=RUN_S,
        )
    )
    await learner.save_recorded()
    other.record_estimate(job_id, ESTIMATE)
    await other.save_recorded()
    assert await schedulers.count_estimates([job_id]) == 1
    await learner.save_recorded()
    assert await schedulers.count_estimates([job_id]) == 0
    async with schedulers.database.connection() as connection:
        accuracy = measure_accuracy(await estimates.list_accuracy(connection))
    assert (accuracy[EtaStage.START].jobs, accuracy[EtaStage.START].within_p50) == (1, 1.0)  # after 20 of 30 s
    assert (accuracy[EtaStage.END].jobs, accuracy[EtaStage.END].within_p50) == (1, 0.0)  # after 80 of 70 s
    assert accuracy[EtaStage.END].within_p90 == 1.0


@pytest.mark.requirement("table scheduler.eta_accuracy")
async def test_accuracy_covers_the_last_24_hours(schedulers: Schedulers) -> None:
    await schedulers.sql.execute(
        """INSERT INTO eta_accuracy (at, stage, result, bin, jobs)
        SELECT date_trunc('hour', now() - make_interval(hours => hours)), 'end', 'early', 1, jobs
        FROM (VALUES (1, 10), (23, 100), (26, 1000)) given (hours, jobs)"""
    )
    async with schedulers.database.connection() as connection:
        accuracy = measure_accuracy(await estimates.list_accuracy(connection))
    assert accuracy[EtaStage.END].jobs == 110


@pytest.mark.requirement("table scheduler.run_times")
async def test_run_times_of_another_scheduler_are_read_even_if_their_transaction_began_before_the_last_read(
    schedulers: Schedulers,
) -> None:
    history = RunTimeHistory()

    def has_run_time(fingerprint: int) -> bool:
        kind = JobKind(REQUIREMENT, fingerprint, {"": 1})
        return history.run_times.predict_run_time(kind, loads_models=False) is not None

    async def is_read(fingerprint: int) -> bool:
        async with schedulers.database.connection() as connection:
            await history.refresh_history(connection)
        return has_run_time(fingerprint)

    async with schedulers.other_sql.transaction():
        await schedulers.other_sql.fetchval("SELECT now()")  # constant within a transaction
        await schedulers.sql.execute(SAVE_HISTOGRAM, 1)
        await until(lambda: is_read(1))
        await schedulers.other_sql.execute(SAVE_HISTOGRAM, 2)
    assert not has_run_time(2)
    await until(lambda: is_read(2))  # run times are cached for some seconds
