"""Receives reports about when API keys were last used."""

from auth.usecases.record_key_uses import KeyUseRecorder
from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from contracts.auth.keys import KEYS_USED, KeysUsed

EVERY_S = 1.0


class KeyUseListener:
    """Subscribes to the reports at its first tick, and writes to the database once per tick."""

    def __init__(self, bus: Bus, recorder: KeyUseRecorder) -> None:
        self._bus, self._recorder = bus, recorder
        self._is_subscribed = False

    async def tick(self) -> None:
        if not self._is_subscribed:
            await self._bus.subscribe(KEYS_USED, self._add_uses)
            self._is_subscribed = True
        await self._recorder.flush()

    async def _add_uses(self, used: KeysUsed, _: Metadata) -> None:
        self._recorder.add_uses(used)
