"""Obtains URLs for the outputs of one attempt."""

import asyncio

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GRANT_OUTPUTS, GrantOutputs, OutputGrant
from contracts.scheduler.attempts import AttemptRef
from contracts.wire.errors import Refusal
from executor.usecases.retries import REQUEST_RETRIES, is_temporary

MAX_REFUSALS = 5  # permanent refusals before giving up
INITIAL_COUNT = 8  # grants requested in advance


class OutputGrants:
    """Grants (upload URLs) for the outputs of one attempt.

    Some are requested in advance, the rest once the number of outputs is known, and new ones after a refused upload.
    """

    def __init__(self, bus: Bus, node_name: str, ref: AttemptRef) -> None:
        self._bus, self._node_name, self._ref, self._count = bus, node_name, ref, INITIAL_COUNT
        self._grants: tuple[OutputGrant, ...] = ()
        self._lock = asyncio.Lock()

    async def request_in_advance(self) -> None:
        """Request grants while the node works, so that the first outputs need not wait for them."""
        async with self._lock:
            if not self._grants:
                self._grants = await self._request_grants()

    async def set_output_count(self, count: int) -> None:
        """Set the number of outputs, once it is known."""
        async with self._lock:
            if count > self._count:
                self._count, self._grants = count, ()

    async def get_grant(self, position: int) -> OutputGrant:
        """Return the grant of one output. Waits for the gateway as long as the lease lasts.

        Raises:
            Refusal: the gateway refuses permanently.
        """
        async with self._lock:
            if position >= self._count:  # the total is not known yet
                self._count, self._grants = 2 * position, ()
            if not self._grants:
                self._grants = await self._request_grants()
            return self._grants[position]

    async def invalidate_grant(self, refused: OutputGrant) -> None:
        """Have new grants requested, unless that has happened since this one was issued."""
        async with self._lock:
            if refused in self._grants:
                self._grants = ()

    async def _request_grants(self) -> tuple[OutputGrant, ...]:
        refusals = 0

        async def request_once() -> tuple[OutputGrant, ...]:
            nonlocal refusals
            try:
                reply = await self._bus.request(
                    GRANT_OUTPUTS, request, tenant=str(self._ref.tenant_id), key=self._node_name
                )
            except Refusal as refusal:
                if not is_temporary(refusal):
                    refusals += 1
                    log.error("executor.grants.refused", code=refusal.details.code)
                raise
            if len(reply.grants) != self._count:
                log.error("executor.grants.count_mismatch", asked=self._count, got=len(reply.grants))
                raise _WrongGrantCount
            return reply.grants

        def may_succeed(error: BaseException) -> bool:
            return isinstance(error, Refusal | _WrongGrantCount) and refusals < MAX_REFUSALS

        request = GrantOutputs(job_id=self._ref.job_id, attempt=self._ref.attempt, count=self._count)
        return await REQUEST_RETRIES.on(may_succeed)(request_once)


class _WrongGrantCount(Exception):
    """The gateway granted a different number of outputs than requested."""
