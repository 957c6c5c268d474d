"""Finds the usernames in lists for operators."""

from collections.abc import Iterable, Mapping
from itertools import islice
from time import monotonic
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_USERNAMES, ReadUsernames
from contracts.wire.errors import FAULTS, Refusal

FRESH_S = 60.0  # the name of an erased user disappears after this time
MAX_PER_REQUEST = 1000
TIMEOUT_S = 0.5  # a list without names is better than none


class UsernameDirectory:
    """Caches names for up to ``FRESH_S`` seconds."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._names: dict[UUID, str] = {}
        self._fresh_until = 0.0

    async def read_usernames(self, user_ids: Iterable[UUID], *, admin: str) -> Mapping[UUID, str]:
        """Return names by user id, without unknown users. While auth is unavailable, only cached names are returned."""
        if monotonic() >= self._fresh_until:
            self._names, self._fresh_until = {}, monotonic() + FRESH_S
        requested = dict.fromkeys(user_ids)
        unknown = tuple(islice((user_id for user_id in requested if user_id not in self._names), MAX_PER_REQUEST))
        if unknown:
            try:
                query = ReadUsernames(user_ids=unknown)
                found = await self._bus.request(READ_USERNAMES, query, tenant=admin, within_s=TIMEOUT_S)
            except Refusal as refusal:
                if refusal.refused.kind not in FAULTS:
                    raise
            else:
                self._names.update(found.usernames)
        return {user_id: self._names[user_id] for user_id in requested if user_id in self._names}
