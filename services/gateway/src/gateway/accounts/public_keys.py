"""The keys that access tokens are verified with, for whoever wants to verify them."""

from chassis.messaging.bus import Bus
from contracts.auth.credentials import READ_KEYSET, Keyset, ReadKeyset
from gateway.caching import StaleWhileRevalidateCache

KEEP_S = 60.0  # a key is published for far longer before it signs


class PublicKeys:
    """Auth's keyset, at most a minute old; while auth is away the last one that was seen."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._keyset: StaleWhileRevalidateCache[Keyset] = StaleWhileRevalidateCache(KEEP_S)

    async def read(self) -> Keyset:
        """The keyset.

        Raises:
            Unavailable: auth is away and was never heard.
        """
        return await self._keyset.read(lambda within_s: self._bus.request(READ_KEYSET, ReadKeyset(), within_s=within_s))
