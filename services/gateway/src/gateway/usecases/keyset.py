"""The keys that access tokens are verified with, for whoever wants to verify them."""

import asyncio
import time

from chassis.bus import Bus
from contracts.auth import READ_KEYSET, Keyset, ReadKeyset
from contracts.wire.errors import Kind, Refusal

KEEP_S = 60.0  # a key is published for far longer before it signs
AWAY_S = 5.0


class PublicKeys:
    """Auth's keyset, at most a minute old; while auth is away the last one that was seen."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: Keyset | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def read(self) -> Keyset:
        """The keyset.

        Raises:
            Unavailable: auth is away and was never heard.
        """
        async with self._asking:
            if self._known is not None and time.monotonic() < self._until:
                return self._known
            try:
                self._known = await self._bus.ask(READ_KEYSET, ReadKeyset())
            except Refusal as refusal:
                if self._known is None or refusal.refused.kind is not Kind.UNAVAILABLE:
                    raise
                self._until = time.monotonic() + AWAY_S
            else:
                self._until = time.monotonic() + KEEP_S
            return self._known
