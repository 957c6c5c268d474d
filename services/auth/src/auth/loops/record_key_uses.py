"""Receives when API keys were last used."""

from auth.usecases.record_key_uses import KeyUseRecorder
from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from contracts.auth.keys import KEYS_USED, KeysUsed

EVERY_S = 1.0


class KeyUseListener:
    """Subscribes at its first tick and writes once per tick."""

    def __init__(self, bus: Bus, recorder: KeyUseRecorder) -> None:
        self._bus, self._recorder = bus, recorder
        self._listening = False

    async def tick(self) -> None:
        if not self._listening:
            await self._bus.subscribe(KEYS_USED, self._on_used)
            self._listening = True
        await self._recorder.flush()

    async def _on_used(self, used: KeysUsed, _: Metadata) -> None:
        self._recorder.add_uses(used)
