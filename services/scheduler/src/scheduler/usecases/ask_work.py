"""An idle node asks for work; where there is none, the question is kept until there is."""

import asyncio
from contextlib import suppress

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import Assignment, RequestWork, WorkReply
from contracts.scheduler.jobs import JobEvent
from scheduler.domain.settlement import CLAIM
from scheduler.domain.states import Cause
from scheduler.store import attempts, transitions
from scheduler.usecases.announce import Announcer
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.tenant_policies import TenantPolicies

RECHECK_S = 1.0  # a wake-up may be lost or come while a row is locked; nobody waits longer than this for nothing
CLAIMS_AT_ONCE = 4  # of one process; more would only wait for each other's locks


class JobDispatcher:
    """Hands out attempts: the fairest tenant's best job that the node can run."""

    def __init__(
        self,
        database: Database,
        fleet: FleetKnowledge,
        announcer: Announcer,
        *,
        policies: TenantPolicies,
        lease_s: float,
        frames_per_image: int,
    ) -> None:
        self._database, self._fleet, self._announcer, self._lease_s = database, fleet, announcer, lease_s
        self._policies, self._frames_per_image = policies, frames_per_image
        self._open = True
        self._changed = asyncio.Event()
        self._claiming = asyncio.Semaphore(CLAIMS_AT_ONCE)

    def wake(self) -> None:
        """Something may have become claimable: every kept question is asked again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Answer every kept question now, and keep none any more: this process is about to stop."""
        self._open = False
        self.wake()

    async def ask(self, node: str, question: RequestWork) -> WorkReply:
        """An attempt leased to the node, or none after ``wait_s`` seconds.

        While the node holds a live attempt, this is always that one.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + question.wait_s
        while True:
            changed = self._changed
            async with self._claiming:
                assignment = await self._claim(node)
            left = until - clock()
            if assignment is not None or left <= 0 or not self._open:
                return WorkReply(assignment=assignment)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, RECHECK_S)):
                    await changed.wait()

    async def _claim(self, node: str) -> Assignment | None:
        async with self._database.direct() as connection:
            digest = await attempts.lock_node(connection, node)
            live, event = await attempts.live_on(connection, node, self._lease_s), None
            if live is None and digest is not None:
                live, event = await self._lease_best(connection, node, digest)
        await self._announcer.say(event)
        if live is not None:
            log.info("scheduler.job.claimed", job_id=str(live.ref.job_id), attempt=live.ref.attempt, node=node)
            policy = await self._policies.policy_of(live.ref.tenant_id)
            return live.model_copy(update={"policy": policy, "frames_per_image": self._frames_per_image})
        return None

    async def _lease_best(
        self, connection: Connection, node: str, digest: str
    ) -> tuple[Assignment | None, JobEvent | None]:
        found = await self._find(connection, node, digest)
        if found is None:
            return None, None
        assignment = await attempts.begin(connection, found, node, lease_s=self._lease_s)
        attempt = assignment.ref.attempt
        event = await transitions.move(connection, found.job, Cause.CLAIMED, CLAIM, now=found.now, attempt=attempt)
        return assignment, event

    async def _find(self, connection: Connection, node: str, digest: str) -> attempts.Claimable | None:
        """The best job for the node. One with which it died is left to other nodes, for a while and if there are any.

        A node with other work takes such a job after that while at the latest; an idle one that alone can run it, now.
        """
        runnable = await self._fleet.runnable(connection, digest)
        if not runnable:
            return None
        found = await attempts.pick(connection, runnable, node=node)
        if found is not None:
            return found
        left = await attempts.kept_away(connection, runnable, node=node)
        alone = await self._fleet.only_here(connection, node, left) if left else []
        return await attempts.pick(connection, alone, node=None) if alone else None
