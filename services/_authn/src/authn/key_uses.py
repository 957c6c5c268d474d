"""Reports to auth when API keys were last used, in batches."""

import asyncio
from datetime import UTC, datetime

from chassis.messaging.bus import Bus
from contracts.auth.keys import KEYS_USED, KeysUsed

REPORT_EVERY_S = 30.0
MAX_KEYS_PER_MESSAGE = 1000  # keys in a message


class KeyUseReporter:
    """Collects the last use of each key and reports it to auth."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._uses: dict[str, float] = {}

    def record_use(self, key_id: str, now: float) -> None:
        self._uses[key_id] = now

    async def report(self) -> None:
        """Report after ``REPORT_EVERY_S``, or at once when the service stops."""
        try:
            await asyncio.sleep(REPORT_EVERY_S)
        finally:
            uses, self._uses = list(self._uses.items()), {}
            for first in range(0, len(uses), MAX_KEYS_PER_MESSAGE):
                batch = {key: datetime.fromtimestamp(at, UTC) for key, at in uses[first : first + MAX_KEYS_PER_MESSAGE]}
                await self._bus.publish(KEYS_USED, KeysUsed(uses=batch))
