"""Obtains URLs for the outputs of one attempt."""

import asyncio

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GRANT_OUTPUTS, GrantOutputs, OutputGrant
from contracts.scheduler.attempts import AttemptRef
from contracts.wire.errors import Refusal
from executor.usecases.retries import REQUESTS, is_temporary

REFUSALS = 5  # permanent refusals before giving up
USUAL = 8  # outputs granted in advance; more are requested when needed


class Grants:
    """Output URLs of one attempt: some in advance, all once their number is known, new ones after a refusal."""

    def __init__(self, bus: Bus, node_name: str, ref: AttemptRef) -> None:
        self._bus, self._node_name, self._ref, self._count = bus, node_name, ref, USUAL
        self._granted: tuple[OutputGrant, ...] = ()
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        """Request URLs in advance while the node works, so that outputs need not wait."""
        async with self._lock:
            if not self._granted:
                self._granted = await self._ask()

    async def expect(self, count: int) -> None:
        """Set the number of outputs."""
        async with self._lock:
            if count > self._count:
                self._count, self._granted = count, ()

    async def of(self, place: int) -> OutputGrant:
        """Return the grant of one output. Waits for the gateway as long as the lease lasts.

        Raises:
            Refusal: the gateway refuses permanently.
        """
        async with self._lock:
            if place >= self._count:  # the total is not known yet
                self._count, self._granted = 2 * place, ()
            if not self._granted:
                self._granted = await self._ask()
            return self._granted[place]

    async def renew(self, refused: OutputGrant) -> None:
        """Request new grants, unless that was done since this one was issued."""
        async with self._lock:
            if refused in self._granted:
                self._granted = ()

    async def _ask(self) -> tuple[OutputGrant, ...]:
        refusals = 0

        async def ask_once() -> tuple[OutputGrant, ...]:
            nonlocal refusals
            try:
                reply = await self._bus.request(
                    GRANT_OUTPUTS, question, tenant=str(self._ref.tenant_id), key=self._node_name
                )
            except Refusal as refusal:
                if not is_temporary(refusal):
                    refusals += 1
                    log.error("executor.grants.refused", code=refusal.refused.code)
                raise
            if len(reply.grants) != self._count:
                log.error("executor.grants.miscounted", asked=self._count, got=len(reply.grants))
                raise _MiscountedError
            return reply.grants

        def may_succeed(error: BaseException) -> bool:
            return isinstance(error, Refusal | _MiscountedError) and refusals < REFUSALS

        question = GrantOutputs(job_id=self._ref.job_id, attempt=self._ref.attempt, count=self._count)
        return await REQUESTS.on(may_succeed)(ask_once)


class _MiscountedError(Exception):
    """The gateway granted another number of outputs than requested."""
