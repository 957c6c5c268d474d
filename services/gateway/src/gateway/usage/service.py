"""Usage by day: jobs from the scheduler, requests from the gateways' counts."""

import asyncio
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.scheduler.usage import READ_DAILY_USAGE, ReadDailyUsage
from contracts.wire.topic import FLEET
from gateway.usage.schemas import UsageBody, build_usage_body
from gateway.usage.store import RequestUsageStore


class UsageView:
    """Usage of one user or of all."""

    def __init__(self, bus: Bus, requests: RequestUsageStore) -> None:
        self._bus, self._requests = bus, requests

    async def read_usage(self, user_id: UUID | None, *, days: int) -> UsageBody:
        """Return the last UTC days including today; ``user_id`` None for all users."""
        tenant = FLEET if user_id is None else str(user_id)
        usage, requests = await asyncio.gather(
            self._bus.request(READ_DAILY_USAGE, ReadDailyUsage(days=days), tenant=tenant),
            self._requests.read_requests(user_id, days=days),
        )
        return build_usage_body(usage.days, requests)
