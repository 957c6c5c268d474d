"""Waiting and running prompts.

Every change is sent to all sockets as a ``status`` event, twice where ComfyUI does so.
"""

import asyncio
import heapq
from collections.abc import Callable

from simnode.hub import Hub
from simnode.wire import Document, QueueItem


class PromptQueue:
    """A heap of tuples, smallest number first. At most one item runs.

    If number and prompt_id are equal, the heap compares dicts, which raises TypeError: in the request that pushes, or
    in the worker that pops, which ends it (ComfyUI 0.33).
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pending: list[QueueItem] = []
        self._running: list[QueueItem] = []
        self._flags: dict[str, bool] = {}
        self._wake = asyncio.Event()

    @property
    def remaining(self) -> int:
        """Number of waiting and running prompts."""
        return len(self._pending) + len(self._running)

    @property
    def pending(self) -> list[QueueItem]:
        """Return waiting items in heap order, which is not sorted order."""
        return list(self._pending)

    @property
    def running(self) -> list[QueueItem]:
        """Return a list with the running item; an empty list if nothing runs."""
        return list(self._running)

    def put(self, item: QueueItem) -> None:
        """Add a prompt and wake the worker."""
        heapq.heappush(self._pending, item)
        self._notify_clients()
        self._wake.set()

    def set_flag(self, name: str) -> None:
        """Store a request of ``/free``, which the worker applies between prompts."""
        self._flags[name] = True
        self._wake.set()

    def take_flags(self) -> dict[str, bool]:
        """Return the requests since the last call."""
        flags, self._flags = self._flags, {}
        return flags

    async def wait_for_work(self) -> None:
        """Wait for a prompt or a flag."""
        while not self._pending and not self._flags:
            self._wake.clear()
            await self._wake.wait()

    def start_next(self) -> QueueItem:
        """Move the first prompt from waiting to running."""
        item: QueueItem = heapq.heappop(self._pending)
        self._running.append(item)
        self._notify_clients()
        return item

    def finish(self, item: QueueItem, write_history: Callable[[], None]) -> None:
        """Move a prompt from running to history atomically, then notify sockets."""
        self._running.remove(item)
        write_history()
        self._notify_clients()

    def delete(self, matches: Callable[[QueueItem], bool]) -> QueueItem | None:
        """Remove the first waiting item that matches.

        If this empties the queue, clients are notified twice, as in ComfyUI 0.3 and 0.33.
        """
        for index, item in enumerate(self._pending):
            if matches(item):
                self._pending.pop(index)
                heapq.heapify(self._pending)
                if not self._pending:
                    self._notify_clients()
                self._notify_clients()
                return item
        return None

    def clear(self) -> list[QueueItem]:
        """Remove all waiting items; returns them."""
        gone, self._pending = self._pending, []
        self._notify_clients()
        return gone

    def status(self) -> Document:
        """Return the body of ``GET /prompt`` and ``status`` events."""
        return {"exec_info": {"queue_remaining": self.remaining}}

    def _notify_clients(self) -> None:
        self._hub.send("status", {"status": self.status()})
