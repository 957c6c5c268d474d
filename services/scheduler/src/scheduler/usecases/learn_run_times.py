"""Records run times of succeeded jobs, and the accuracy of the estimates made at their submission.

It does not add to the transactions of submissions and of ends of attempts: it keeps what happened in memory and writes
it every ``LEARN_EVERY_S`` seconds. A scheduler that is killed loses the last seconds.
"""

import secrets
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.metrics import Metrics
from contracts.metrics import ETA_JOBS, ETA_RATIO
from scheduler.domain.eta import Eta
from scheduler.domain.eta_accuracy import EtaComparison, EtaResult, EtaStage, compare_estimate, count_comparisons
from scheduler.domain.run_times import Bins, HistogramKey, SuccessfulRun, add_run
from scheduler.store import estimates, run_times
from scheduler.usecases.run_time_history import RunTimeHistory

LEARN_EVERY_S = 2.0
MAX_RUNS = 5_000  # kept in memory; more are ignored
SAMPLE_SIZE = 50  # estimates that are kept of all those between two writes


class FinishedRun(NamedTuple):
    """A successful run of a job on a node.

    Attributes:
        seconds: how long it ran on the node.
    """

    job_id: UUID
    node: str
    requirement_id: int
    fingerprint: int | None
    loads_models: bool
    seconds: float


class RunTimeLearner:
    def __init__(self, database: Database, history: RunTimeHistory, metrics: Metrics) -> None:
        self._database, self._history = database, history
        self._runs: list[FinishedRun] = []
        self._previously_ended: list[UUID] = []  # the estimate of a short job may have been written after its end
        self._estimates: dict[UUID, Eta] = {}
        self._estimate_count = 0
        self._ratio, self._jobs = metrics.histogram(ETA_RATIO), metrics.counter(ETA_JOBS)
        for stage in EtaStage:  # a series that begins at 0 shows its first increase
            self._ratio.labels(stage.value)
            for result in EtaResult:
                self._jobs.labels(stage.value, result.value)

    def record_run(self, run: FinishedRun) -> None:
        """Record a run whose end is committed."""
        if len(self._runs) < MAX_RUNS:
            self._runs.append(run)

    def record_estimate(self, job_id: UUID, estimate: Eta) -> None:
        """Remember the estimate that a submission's reply gave, to compare it with the actual times.

        Only a random sample is kept.
        """
        self._estimate_count += 1
        if len(self._estimates) >= SAMPLE_SIZE:
            if secrets.randbelow(self._estimate_count) >= SAMPLE_SIZE:
                return
            del self._estimates[[*self._estimates][secrets.randbelow(SAMPLE_SIZE)]]
        self._estimates[job_id] = estimate

    async def save_recorded(self) -> None:
        """Write what was recorded, if anything. Called by ``chassis.loop.Loop``."""
        if not (self._runs or self._estimates or self._previously_ended):
            return
        runs, given, previously_ended = self._runs, self._estimates, self._previously_ended
        ended = [run.job_id for run in runs]
        self._runs, self._estimates, self._previously_ended, self._estimate_count = [], {}, ended, 0
        try:
            if given:
                async with self._database.connection() as connection:
                    await estimates.save_estimates(connection, given)
            async with self._database.transaction() as connection:
                await run_times.lock_histograms(connection)
                comparisons = await self._compare_estimates(connection, [*previously_ended, *ended])
                learned = await self._add_runs(connection, runs) if runs else {}
        except BaseException:
            self._runs = (runs + self._runs)[:MAX_RUNS]
            self._estimates, self._previously_ended = given | self._estimates, previously_ended
            raise
        self._history.replace_histograms(learned)
        for comparison in comparisons:
            self._ratio.labels(comparison.stage.value).observe(comparison.ratio)
            self._jobs.labels(comparison.stage.value, comparison.result.value).inc()

    async def prune_run_times(self) -> None:
        """Delete old run times, estimates and totals. Called by ``chassis.loop.Loop``."""
        async with self._database.transaction() as connection:
            await run_times.lock_histograms(connection)
            await run_times.prune_histograms(connection)
        await estimates.prune_estimates(self._database)

    async def _compare_estimates(self, connection: Connection, job_ids: list[UUID]) -> list[EtaComparison]:
        ended = await estimates.pop_estimates(connection, job_ids) if job_ids else []
        found = [
            comparison
            for estimate in ended
            for comparison in compare_estimate(
                estimate.estimate, started_s=estimate.started_s, ended_s=estimate.ended_s
            )
        ]
        if found:
            await estimates.add_accuracy(connection, count_comparisons(found))
        return found

    async def _add_runs(self, connection: Connection, runs: list[FinishedRun]) -> dict[HistogramKey, Bins]:
        """Add run times to their histograms, and return the changed histograms."""
        gpu_models = await run_times.list_gpu_models(connection, {run.node for run in runs})
        seconds: dict[HistogramKey, list[float]] = {}
        for run in runs:
            successful_run = SuccessfulRun(
                run.requirement_id, run.fingerprint, gpu_models.get(run.node, ""), run.loads_models, run.seconds
            )
            for key in successful_run.list_keys():
                seconds.setdefault(key, []).append(run.seconds)
        histograms: dict[HistogramKey, Bins] = {}
        stored = await run_times.load_histograms(connection, seconds)
        for key, added in seconds.items():
            bins: Bins = stored.get(key, {})
            for run_s in added:
                bins = add_run(bins, run_s)
            histograms[key] = bins
        await run_times.save_histograms(connection, histograms)
        if len(stored) < len(histograms):  # some are new
            await run_times.prune_histograms(connection)
        return histograms
