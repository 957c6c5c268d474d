"""Cordons nodes on which different jobs fail, until an operator uncordons them."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from scheduler.domain.failing_nodes import is_at_fault
from scheduler.store import node_failures
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.reclaim_prefetched import PrefetchReclaimer

MIN_LISTED_FAILURES = 100  # twice the setting if that is more, because some of the jobs may be at fault themselves


class FailingNodeCordon:
    """Cordons failing nodes, even the last one that takes jobs: on it they would all fail.

    Args:
        after_jobs: different jobs that fail in a row on a node before it is cordoned; 0: never.
    """

    def __init__(
        self, database: Database, reclaimer: PrefetchReclaimer, metrics: JobMetrics, *, after_jobs: int
    ) -> None:
        self._database, self._reclaimer, self._metrics, self._after_jobs = database, reclaimer, metrics, after_jobs

    async def check_node(self, node: str) -> None:
        """Cordon the node if it is at fault for the jobs that failed on it."""
        async with self._database.transaction() as connection:
            limit = max(MIN_LISTED_FAILURES, 2 * self._after_jobs)
            failures = await node_failures.list_failures(connection, node, limit=limit)
            if not is_at_fault(failures, after_jobs=self._after_jobs):
                return
            reason = f"{len(failures)} different jobs in a row failed on this node. Repair it, then uncordon it."
            is_cordoned = await node_failures.cordon_failing_node(connection, node, reason)
        if not is_cordoned:
            return
        self._metrics.count_cordon(node)
        log.error("scheduler.node.cordoned", node=node, jobs=[str(failure.job_id) for failure in failures[:10]])
        await self._reclaimer.reclaim_from_node(node)

    async def check_nodes_that_failed(self, job_id: UUID) -> None:
        """Check the nodes that a job failed on, because it has succeeded on another one."""
        async with self._database.connection() as connection:
            nodes = await node_failures.list_nodes_that_failed(connection, job_id)
        for node in nodes:
            await self.check_node(node)
