"""Estimates given for a sample of jobs at submission, and their accuracy."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Connection, Statement
from scheduler.domain.eta import Eta
from scheduler.domain.eta_accuracy import AccuracyTotals, EtaResult, EtaStage

# Locks the jobs, so that none of them is purged in the meantime, and leaves out those that others have locked.
_SAVE = Statement("""
WITH present AS MATERIALIZED (
    SELECT j.id FROM jobs j WHERE j.id = ANY(CAST(:job_ids AS uuid[])) FOR KEY SHARE SKIP LOCKED
)
INSERT INTO job_estimates (job_id, start_s, start_p90_s, end_s, end_p90_s)
SELECT given.* FROM unnest(CAST(:job_ids AS uuid[]), CAST(:starts AS float[]), CAST(:starts_p90 AS float[]),
    CAST(:ends AS float[]), CAST(:ends_p90 AS float[])) AS given (job_id, start_s, start_p90_s, end_s, end_p90_s)
WHERE given.job_id IN (SELECT present.id FROM present)
ON CONFLICT (job_id) DO NOTHING
""")
_POP = Statement("""
DELETE FROM job_estimates e USING jobs j
WHERE e.job_id = ANY(CAST(:job_ids AS uuid[])) AND j.id = e.job_id AND j.state = 'succeeded'
RETURNING e.start_s, e.start_p90_s, e.end_s, e.end_p90_s,
    extract(epoch FROM j.started_at - j.created_at)::float AS started_s,
    extract(epoch FROM j.completed_at - j.created_at)::float AS ended_s
""")
_ADD_ACCURACY = Statement("""
INSERT INTO eta_accuracy AS kept (at, stage, result, bin, jobs)
SELECT date_trunc('hour', now()), given.*
FROM unnest(CAST(:stages AS text[]), CAST(:results AS text[]), CAST(:bins AS integer[]), CAST(:jobs AS integer[]))
    AS given (stage, result, bin, jobs)
ON CONFLICT (at, stage, result, bin) DO UPDATE SET jobs = kept.jobs + excluded.jobs
""")
_LIST_ACCURACY = Statement("""
SELECT stage, result, bin, sum(jobs)::integer AS jobs FROM eta_accuracy
WHERE at > now() - interval '25 hours' GROUP BY stage, result, bin
""")
_EXPIRED_ESTIMATES = ExpiredRows("job_estimates", "at < now() - interval '1 day'")
_EXPIRED_ACCURACY = ExpiredRows("eta_accuracy", "at < now() - interval '7 days'")


class EndedEstimate(NamedTuple):
    """The estimate of a job that succeeded, and the seconds from its submission to its last start and its end."""

    estimate: Eta
    started_s: float
    ended_s: float


async def save_estimates(connection: Connection, estimates: Mapping[UUID, Eta]) -> None:
    """Save estimates by job. The first one of a job is kept.

    Leaves out jobs that were purged or that another transaction has locked. Must be a transaction of its own, because
    no node can claim these jobs until it ends.
    """
    etas = [*estimates.values()]
    await _SAVE.run(
        connection,
        job_ids=[*estimates],
        starts=[eta.start_s for eta in etas],
        starts_p90=[eta.start_p90_s for eta in etas],
        ends=[eta.end_s for eta in etas],
        ends_p90=[eta.end_p90_s for eta in etas],
    )


async def pop_estimates(connection: Connection, job_ids: Collection[UUID]) -> list[EndedEstimate]:
    """Delete and return the estimates of these jobs with the actual times. Leaves out jobs that have not succeeded."""
    return [
        EndedEstimate(
            Eta(row["start_s"], row["start_p90_s"], row["end_s"], row["end_p90_s"]), row["started_s"], row["ended_s"]
        )
        for row in await _POP.all(connection, job_ids=[*job_ids])
    ]


async def add_accuracy(connection: Connection, totals: Sequence[AccuracyTotals]) -> None:
    """Add to the totals of this hour. They must be sorted, so that two processes lock rows in the same order."""
    await _ADD_ACCURACY.run(
        connection,
        stages=[total.stage.value for total in totals],
        results=[total.result.value for total in totals],
        bins=[total.bin for total in totals],
        jobs=[total.jobs for total in totals],
    )


async def list_accuracy(connection: Connection) -> list[AccuracyTotals]:
    """List the totals of the last 24 hours and the hour that is not over."""
    return [
        AccuracyTotals(EtaStage(row["stage"]), EtaResult(row["result"]), row["bin"], row["jobs"])
        for row in await _LIST_ACCURACY.all(connection)
    ]


async def prune_estimates(database: Database) -> None:
    """Delete estimates after a day, and totals after 7 days."""
    await _EXPIRED_ESTIMATES.delete(database)
    await _EXPIRED_ACCURACY.delete(database)
