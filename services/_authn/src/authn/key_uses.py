"""When keys were last seen at this door: told to auth now and then, not at every use."""

import asyncio
from datetime import UTC, datetime

from chassis.messaging.bus import Bus
from contracts.auth import KEYS_USED, KeysUsed

EVERY_S = 30.0
AT_ONCE = 1000  # keys in a message


class Uses:
    """The last use of each key since it was told, Unix seconds."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._uses: dict[str, float] = {}

    def note(self, key_id: str, now: float) -> None:
        """A key was used."""
        self._uses[key_id] = now

    async def say(self) -> None:
        """Tell auth after ``EVERY_S``, or now that the service ends. A duty for ``chassis.loop.Loop``."""
        try:
            await asyncio.sleep(EVERY_S)
        finally:
            uses, self._uses = list(self._uses.items()), {}
            for first in range(0, len(uses), AT_ONCE):
                said = {key: datetime.fromtimestamp(at, UTC) for key, at in uses[first : first + AT_ONCE]}
                await self._bus.publish(KEYS_USED, KeysUsed(uses=said))
