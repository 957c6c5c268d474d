"""What the fleet can run, a few seconds old at most."""

import asyncio
import time

from chassis.messaging.bus import Bus
from contracts.scheduler.fleet import READ_FLEET, Fleet, ReadFleet
from contracts.scheduler.submissions import EmptyFleet
from contracts.wire.errors import FieldError
from gateway.errors import NoModel


class FleetView:
    """The scheduler's view of the fleet, asked for at most once in ``keep_s`` for default models."""

    def __init__(self, bus: Bus, *, keep_s: float) -> None:
        self._bus, self._keep_s = bus, keep_s
        self._known: Fleet | None = None
        self._known_at = 0.0
        self._asking = asyncio.Lock()

    async def read(self, tenant: str) -> Fleet:
        """The fleet as it is now, as far as the tenant may use it.

        Raises:
            Unavailable: the scheduler does not answer.
        """
        return await self._bus.request(READ_FLEET, ReadFleet(), tenant=tenant)

    async def _read_all(self) -> Fleet:
        """The whole fleet as it is now.

        Raises:
            Unavailable: the scheduler does not answer.
        """
        self._known = await self._bus.request(READ_FLEET, ReadFleet())
        self._known_at = time.monotonic()
        return self._known

    async def default_model(self) -> str:
        """The checkpoint that a prompt without a model runs on: never one that a job may have written.

        It is the first that operators named, or else the most common one that a node had when it joined, a loaded one
        if several are.

        Raises:
            EmptyFleet: no node was seen yet.
            NoModel: no node has such a checkpoint.
        """
        async with self._asking:
            fresh = self._known is not None and time.monotonic() - self._known_at < self._keep_s
            fleet = self._known if fresh and self._known and self._known.default_models else await self._read_all()
        if fleet.default_models:
            return fleet.default_models[0]
        if not fleet.nodes:
            raise EmptyFleet
        message = "There is no default checkpoint. Name one of GET /api/v1/models, or send a workflow that needs none."
        raise NoModel(errors=(FieldError(pointer="/model", code="model_missing", message=message),))
