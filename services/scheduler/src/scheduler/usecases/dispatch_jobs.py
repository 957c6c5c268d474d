"""Assigns queued jobs to nodes that ask for work; a request waits until there is a job or it times out."""

import asyncio
from collections import deque
from contextlib import suppress
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import Assignment, RequestWork, WorkReply
from scheduler.domain.settlement import CLAIM_EFFECTS
from scheduler.domain.states import Cause
from scheduler.store import attempts, transitions
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.tenant_policies import TenantPolicies

RECHECK_S = 1.0  # poll interval of waiting requests: a wake-up may be lost, or come while a row is locked
STOPPED_EXECUTORS = 1000  # remembered, newest first; a request that overtakes the hint is milliseconds late
CLAIMS_AT_ONCE = 4  # per process; more would only wait for each other's locks


class JobDispatcher:
    """Leases attempts to nodes: the best job that the node can run, of the tenant with the least ``vtime``."""

    def __init__(
        self,
        database: Database,
        fleet: FleetState,
        publisher: JobEventPublisher,
        *,
        policies: TenantPolicies,
        lease_s: float,
        frames_per_image: int,
    ) -> None:
        self._database, self._fleet, self._publisher, self._lease_s = database, fleet, publisher, lease_s
        self._policies, self._frames_per_image = policies, frames_per_image
        self._is_open = True
        self._stopped: deque[UUID] = deque(maxlen=STOPPED_EXECUTORS)
        self._changed = asyncio.Event()
        self._claiming = asyncio.Semaphore(CLAIMS_AT_ONCE)

    def wake(self) -> None:
        """Retry every waiting request now, because a job may have become claimable."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Answer every waiting request now, and let no request wait any more. Call before the process stops."""
        self._is_open = False
        self.wake()

    def cancel_requests(self, boot_id: UUID) -> None:
        """Answer waiting requests of this executor now, and assign it nothing more: it is being stopped."""
        self._stopped.append(boot_id)
        self.wake()

    async def lease_attempt(self, node: str, request: RequestWork) -> WorkReply:
        """Lease an attempt to the node; the answer is empty if there is no job for it within ``wait_s`` seconds.

        A node that already has a live attempt gets that attempt again, with its lease renewed.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + request.wait_s
        while True:
            changed = self._changed
            if request.boot_id in self._stopped:
                return WorkReply(assignment=None)
            async with self._claiming:
                assignment = await self._claim_attempt(node)
            remaining_s = until - clock()
            if assignment is not None or remaining_s <= 0 or not self._is_open:
                return WorkReply(assignment=assignment)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining_s, RECHECK_S)):
                    await changed.wait()

    async def _claim_attempt(self, node: str) -> Assignment | None:
        async with self._database.direct() as connection:
            digest = await attempts.lock_node(connection, node)
            live, transition = await attempts.renew_live_assignment(connection, node, self._lease_s), None
            if live is None and digest is not None:
                live, transition = await self._lease_next_job(connection, node, digest)
        await self._publisher.publish_live(transition)
        if live is not None:
            log.info(
                "scheduler.job.claimed",
                job_id=str(live.ref.job_id),
                attempt=live.ref.attempt,
                node=node,
                request_id=live.request_id,
            )
            policy = await self._policies.load_policy(live.ref.tenant_id)
            return live.model_copy(update={"policy": policy, "frames_per_image": self._frames_per_image})
        return None

    async def _lease_next_job(
        self, connection: Connection, node: str, digest: str
    ) -> tuple[Assignment | None, transitions.Transition | None]:
        found = await self._lock_job_for_node(connection, node, digest)
        if found is None:
            return None, None
        assignment = await attempts.insert_attempt(connection, found, node, lease_s=self._lease_s)
        attempt = assignment.ref.attempt
        transition = await transitions.apply_transition(
            connection, found.job, Cause.CLAIMED, CLAIM_EFFECTS, now=found.now, attempt=attempt
        )
        return assignment, transition

    async def _lock_job_for_node(self, connection: Connection, node: str, digest: str) -> attempts.ClaimableJob | None:
        """Find and lock the next job for the node.

        A job that must avoid this node, because the node died while running it, is considered only if there is no
        other job and no other node can run it.
        """
        runnable = await self._fleet.list_runnable_requirements(connection, digest)
        if not runnable:
            return None
        found = await attempts.lock_next_job(connection, runnable, node=node)
        if found is not None:
            return found
        avoided = await attempts.list_avoided_requirements(connection, runnable, node=node)
        exclusive = await self._fleet.list_exclusive_requirements(connection, node, avoided) if avoided else []
        return await attempts.lock_next_job(connection, exclusive, node=None) if exclusive else None
