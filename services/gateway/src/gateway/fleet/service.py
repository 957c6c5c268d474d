"""What the fleet can run, a few seconds old at most."""

from chassis.messaging.bus import Bus
from contracts.scheduler.fleet import READ_FLEET, Fleet, ReadFleet
from contracts.scheduler.submissions import EmptyFleet
from contracts.wire.errors import FieldError
from gateway.caching import StaleWhileRevalidateCache
from gateway.errors import NoModel


class FleetView:
    """The scheduler's view of the fleet. For default models it is read at most once in ``keep_s``."""

    def __init__(self, bus: Bus, *, keep_s: float) -> None:
        self._bus = bus
        self._whole: StaleWhileRevalidateCache[Fleet] = StaleWhileRevalidateCache(keep_s)

    async def read(self, tenant: str) -> Fleet:
        """The fleet as it is now, as far as the tenant may use it.

        Raises:
            Unavailable: the scheduler does not answer.
        """
        return await self._bus.request(READ_FLEET, ReadFleet(), tenant=tenant)

    async def default_model(self) -> str:
        """The checkpoint that a prompt without a model runs on: never one that a job may have written.

        It is the first that operators named, or else the most common one that a node had when it joined, a loaded one
        if several are.

        Raises:
            EmptyFleet: no node was seen yet.
            Unavailable: the scheduler does not answer and did not before.
            NoModel: no node has such a checkpoint.
        """
        fleet = await self._whole.read(lambda within_s: self._bus.request(READ_FLEET, ReadFleet(), within_s=within_s))
        if fleet.default_models:
            return fleet.default_models[0]
        self._whole.forget()
        if not fleet.nodes:
            raise EmptyFleet
        message = "There is no default checkpoint. Name one of GET /api/v1/models, or send a workflow that needs none."
        raise NoModel(errors=(FieldError(pointer="/model", code="model_missing", message=message),))
