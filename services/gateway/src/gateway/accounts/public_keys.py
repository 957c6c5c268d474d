"""The public keys that verify access tokens."""

from chassis.messaging.bus import Bus
from contracts.auth.credentials import READ_KEYSET, Keyset, ReadKeyset
from gateway.caching import StaleWhileRevalidateCache

FRESH_S = 60.0  # a key is published for far longer than this before it signs


class PublicKeys:
    """Auth's key set, cached for a minute, and longer while auth is unavailable."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._keyset: StaleWhileRevalidateCache[Keyset] = StaleWhileRevalidateCache(FRESH_S)

    async def read_keyset(self) -> Keyset:
        """Return the key set.

        Raises:
            Unavailable: auth is unavailable, and nothing is cached.
        """
        return await self._keyset.get(lambda within_s: self._bus.request(READ_KEYSET, ReadKeyset(), within_s=within_s))
