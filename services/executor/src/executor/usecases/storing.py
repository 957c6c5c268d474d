"""The outputs of one attempt on their way to the store, from the moment that the node names the first."""

import asyncio
from collections.abc import Sequence

from contracts.scheduler import Output
from executor.domain.harvest import Found
from executor.domain.verdict import failed
from executor.usecases.grants import Grants
from executor.usecases.store_output import CannotStore, StoreOutput

MOST = 5_000  # outputs of one job: ComfyUI's largest batch, and the report of it stays within a NATS message
TOO_MANY = failed("workflow.too_many_outputs", f"A job has at most {MOST} outputs.")


class Storing:
    """Stores outputs side by side, each once, however often it is named.

    Args:
        at_once: at most so many at a time.
    """

    def __init__(self, store: StoreOutput, grants: Grants, *, at_once: int) -> None:
        self._store, self._grants = store, grants
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: dict[Found, asyncio.Task[Output]] = {}

    def ahead(self, found: Sequence[Found]) -> None:
        """Begin with outputs that the node has finished, while it works on. If the attempt fails, nobody lists them."""
        for item in found:
            if item not in self._tasks and len(self._tasks) < MOST:
                self._tasks[item] = asyncio.create_task(self._one(len(self._tasks), item))

    async def all(self, found: Sequence[Found]) -> tuple[Output, ...]:
        """Every output in order, once all are stored.

        Raises:
            CannotStore: the node no longer has one, or they are too many or too large.
        """
        if len(found) > MOST:
            raise CannotStore(TOO_MANY)
        await self._grants.expect(len(self._tasks.keys() | set(found)))
        self.ahead(found)
        return tuple(await asyncio.gather(*(self._tasks[item] for item in found)))

    async def close(self) -> None:
        """Stop what is still on its way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _one(self, place: int, item: Found) -> Output:
        async with self._slots:
            return await self._store(place, item, self._grants)
