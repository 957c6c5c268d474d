"""Caches which requirements queued jobs have, so that not every request for work reads them."""

import asyncio
from collections.abc import Iterable, Set
from time import monotonic

from chassis.database.statement import Connection
from scheduler.store import claims

FRESH_S = 1.0


class WaitingRequirements:
    """Ids of the requirements that queued jobs have.

    The requirement of a job that this process queued or that the database announced is added at once. If its
    notification was lost, it is added within ``FRESH_S`` seconds. One that no queued job has any more is removed within
    that time.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._added: set[int] = set()
        self._until = 0.0
        self._reading = asyncio.Lock()

    def add_requirements(self, requirements: Iterable[int]) -> None:
        """Add the requirement ids of newly queued jobs."""
        added = set(requirements)
        self._ids |= added
        self._added |= added

    @property
    def fresh_ids(self) -> Set[int] | None:
        """The ids; None if they were read more than ``FRESH_S`` seconds ago."""
        return self._ids if monotonic() < self._until else None

    async def load_requirements(self, connection: Connection, *, fresh: bool = False) -> Set[int]:
        """Return the ids. They are read from the database if ``fresh`` is set or the known ones are not fresh."""
        if fresh or self.fresh_ids is None:
            async with self._reading:
                if fresh or self.fresh_ids is None:  # another may have read them while this one waited
                    self._added = set()  # what is added from here on may be missing in the result
                    found = await claims.list_waiting_requirements(connection)
                    self._ids = {*found, *self._added}
                    self._until = monotonic() + FRESH_S
        return self._ids
