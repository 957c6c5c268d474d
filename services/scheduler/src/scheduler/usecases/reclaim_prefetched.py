"""Asks executors to hand back jobs that they have not started, if another node could start them now."""

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.attempts import RELEASE_ATTEMPT, ReleaseAttempt
from scheduler.store import attempts
from scheduler.usecases.dispatch_jobs import JobDispatcher

EVERY_S = 0.5


class PrefetchReclaimer:
    """Asks executors to hand prefetched attempts back.

    Only the executor knows whether it has posted the prompt, so the scheduler never takes such an attempt back. A lost
    request is repeated while the other node waits, and the executor hands the attempt back anyway after a time.
    """

    def __init__(self, database: Database, bus: Bus, dispatcher: JobDispatcher) -> None:
        self._database, self._bus, self._dispatcher = database, bus, dispatcher

    async def reclaim_for_waiting_nodes(self) -> None:
        """Reclaim one attempt for each node whose request waits in this process and that could start it."""
        if not self._dispatcher.has_waiting_nodes:
            return
        async with self._database.single() as connection:
            prefetched = await attempts.list_prefetched_attempts(connection)
        served: set[str] = set()
        for attempt in prefetched:
            node = self._dispatcher.find_waiting_node(
                attempt.requirement_id,
                excluded={*served, attempt.node},
                prefetched_by_warm_node_s=attempt.age_s if attempt.loads_models is False else None,
            )
            if node is not None:
                served.add(node)
                await self._reclaim_attempt(attempt, "node_waits")

    async def reclaim_from_node(self, node: str) -> None:
        """Reclaim the attempts that a node has not started, because the node gets no more work."""
        async with self._database.single() as connection:
            prefetched = await attempts.list_prefetched_attempts(connection, node=node)
        for attempt in prefetched:
            await self._reclaim_attempt(attempt, "cordoned")

    async def _reclaim_attempt(self, attempt: attempts.PrefetchedAttempt, why: str) -> None:
        log.info(
            "scheduler.attempt.reclaimed",
            job_id=str(attempt.job_id),
            attempt=attempt.attempt,
            node=attempt.node,
            why=why,
        )
        hint = ReleaseAttempt(job_id=attempt.job_id, attempt=attempt.attempt)
        await self._bus.publish(RELEASE_ATTEMPT, hint, key=attempt.node)
