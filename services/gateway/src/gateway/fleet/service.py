"""What the fleet can run."""

from chassis.messaging.bus import Bus
from contracts.scheduler.fleet import READ_FLEET, Fleet, ReadFleet
from contracts.scheduler.submissions import EmptyFleet
from contracts.wire.errors import FieldError
from gateway.caching import StaleWhileRevalidateCache
from gateway.fleet.errors import NoModel


class FleetView:
    """The scheduler's view of the fleet. For default models it is cached for ``fresh_s`` seconds."""

    def __init__(self, bus: Bus, *, fresh_s: float) -> None:
        self._bus = bus
        self._cached_fleet: StaleWhileRevalidateCache[Fleet] = StaleWhileRevalidateCache(fresh_s)

    async def read_fleet(self, tenant: str) -> Fleet:
        """Return the fleet now, limited to what the tenant may use.

        Raises:
            Unavailable: the scheduler does not answer.
        """
        return await self._bus.request(READ_FLEET, ReadFleet(), tenant=tenant)

    async def choose_default_model(self) -> str:
        """Return the checkpoint for a prompt without a model. Files that a job may have written are never chosen.

        It is the first checkpoint that operators configured; else the most common one among those that nodes had when
        they joined, preferring a loaded one.

        Raises:
            EmptyFleet: no node has joined yet.
            NoModel: no node has a checkpoint.
            Unavailable: the scheduler does not answer, and no answer is cached.
        """
        fleet = await self._cached_fleet.get(
            lambda within_s: self._bus.request(READ_FLEET, ReadFleet(), within_s=within_s)
        )
        if fleet.default_models:
            return fleet.default_models[0]
        self._cached_fleet.clear()
        if not fleet.nodes:
            raise EmptyFleet
        message = "There is no default checkpoint. Name one of GET /api/v1/models, or send a workflow that needs none."
        raise NoModel(errors=(FieldError(pointer="/model", code="model_missing", message=message),))
