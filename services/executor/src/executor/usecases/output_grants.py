"""Obtains URLs for the outputs of one attempt."""

import asyncio

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GRANT_OUTPUTS, GrantOutputs, OutputGrant
from contracts.scheduler.attempts import AttemptRef
from contracts.wire.errors import Refusal
from executor.usecases.retries import REQUESTS, is_temporary

MAX_REFUSALS = 5  # permanent refusals before giving up
INITIAL_COUNT = 8  # outputs granted in advance; more are requested when needed


class OutputGrants:
    """Output URLs of one attempt: some in advance, all once their number is known, new ones after a refusal."""

    def __init__(self, bus: Bus, node_name: str, ref: AttemptRef) -> None:
        self._bus, self._node_name, self._ref, self._count = bus, node_name, ref, INITIAL_COUNT
        self._grants: tuple[OutputGrant, ...] = ()
        self._lock = asyncio.Lock()

    async def request_in_advance(self) -> None:
        """Request URLs in advance while the node works, so that outputs need not wait."""
        async with self._lock:
            if not self._grants:
                self._grants = await self._request_grants()

    async def set_output_count(self, count: int) -> None:
        """Set the number of outputs."""
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

    async def renew_grants(self, refused: OutputGrant) -> None:
        """Request new grants, unless that was done since this one was issued."""
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
                raise _MiscountedError
            return reply.grants

        def may_succeed(error: BaseException) -> bool:
            return isinstance(error, Refusal | _MiscountedError) and refusals < MAX_REFUSALS

        request = GrantOutputs(job_id=self._ref.job_id, attempt=self._ref.attempt, count=self._count)
        return await REQUESTS.on(may_succeed)(request_once)


class _MiscountedError(Exception):
    """The gateway granted another number of outputs than requested."""
