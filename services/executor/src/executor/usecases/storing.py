"""Stores the outputs of one attempt concurrently, from the moment the node names the first."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import Output
from executor.domain.harvest import Found
from executor.domain.image_costs import QUOTA_CODE, ImageAllowance, not_stored
from executor.domain.verdict import failed
from executor.usecases.grants import Grants
from executor.usecases.store_output import CannotStore, StoreOutput

MOST = 5_000  # outputs of one job: ComfyUI's largest batch; the report fits into a NATS message
TOO_MANY = failed("workflow.too_many_outputs", f"A job has at most {MOST} outputs.")


NO_QUOTA = failed(QUOTA_CODE, "Nothing was stored: today's image quota is used up. The day ends at 00:00 UTC.")


class Stored(NamedTuple):
    """The stored outputs, the images they count as, and warnings for the owner."""

    outputs: tuple[Output, ...]
    images: int
    warnings: tuple[JobWarning, ...]


class Storing:
    """Stores outputs concurrently, each once, and never more than is reserved.

    Args:
        at_once: maximum concurrent transfers.
        allowance: decides which outputs may be stored.
        reserve: reserves this total number of images; returns the number reserved.
    """

    def __init__(
        self,
        store: StoreOutput,
        grants: Grants,
        *,
        at_once: int,
        allowance: ImageAllowance,
        reserve: Callable[[int], Awaitable[int]],
    ) -> None:
        self._store, self._grants, self._allowance, self._reserve = store, grants, allowance, reserve
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: dict[Found, asyncio.Task[Output]] = {}

    def ahead(self, found: Sequence[Found]) -> None:
        """Start storing finished outputs while the node continues. If the attempt fails, they are not listed."""
        for item in found:
            if item not in self._tasks and len(self._tasks) < MOST and self._allowance.admit(item):
                self._tasks[item] = asyncio.create_task(self._one(len(self._tasks), item))

    async def all(self, found: Sequence[Found]) -> Stored:
        """Return every output in order once all are stored, without those beyond the quota.

        Raises:
            CannotStore: an output is missing, they are too many or too large, or the quota allows none.
        """
        if len(found) > MOST:
            raise CannotStore(TOO_MANY)
        needed = self._allowance.needed(found)
        if needed > self._allowance.images:
            self._allowance.images = max(await self._reserve(needed), self._allowance.images)
        kept = [item for item in found if self._allowance.admit(item)]
        if found and not kept:
            raise CannotStore(NO_QUOTA)
        await self._grants.expect(len(self._tasks.keys() | set(kept)))
        self.ahead(kept)
        outputs = tuple(await asyncio.gather(*(self._tasks[item] for item in kept)))
        left_out = len(found) - len(kept)
        return Stored(outputs, self._allowance.used, (not_stored(left_out, len(found)),) if left_out else ())

    async def close(self) -> None:
        """Cancel running transfers."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _one(self, place: int, item: Found) -> Output:
        async with self._slots:
            return await self._store(place, item, self._grants)
