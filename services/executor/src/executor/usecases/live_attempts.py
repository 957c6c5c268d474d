"""The attempts of this executor, shared by all loops."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum, auto
from uuid import UUID

from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef
from executor.domain.attempt import AttemptRecord, StopReason


class AttemptPlace(Enum):
    """Where an attempt is. At most one is ``ON_NODE`` at a time."""

    WAITING = auto()  # waits for the node; its prompt was not posted by this process
    ON_NODE = auto()
    LEFT_NODE = auto()  # its prompt has ended: outputs are stored, or the end is reported


class LiveAttempt:
    """State of one live attempt: its place, run time, progress and stop request. Not thread-safe.

    Args:
        wall_clock: epoch seconds. Only the time before this process took over the attempt is measured with it.

    Attributes:
        record: record in the journal.
        graph_node, graph_node_class: node of the graph that runs, and its class.
    """

    def __init__(
        self, record: AttemptRecord, node: asyncio.Lock, changed: asyncio.Event, wall_clock: Callable[[], float]
    ) -> None:
        self.record, self.percent = record, 0.0
        self.graph_node: str | None = None
        self.graph_node_class: str | None = None
        self.stop_requested = asyncio.Event()
        self._node, self._changed = node, changed
        self._place, self._has_node = AttemptPlace.WAITING, False
        self._stop_reason: StopReason | None = None
        self._ended = record.finish is not None
        self._wall_clock = wall_clock
        self._began = time.monotonic() - max(wall_clock() - record.begun_at, 0.0)

    @property
    def elapsed_s(self) -> float:
        """Run time so far, which is limited and charged. Steps of the wall clock do not change it."""
        return time.monotonic() - self._began

    def begin_run_time(self) -> None:
        """Let the run time begin now. The caller writes ``record.begun_at`` to the journal, for a later process."""
        self._began = time.monotonic()
        self.record = replace(self.record, begun_at=self._wall_clock())

    @property
    def ref(self) -> AttemptRef:
        """The attempt's id and fencing token, for messages to the scheduler."""
        return self.record.ref

    @property
    def place(self) -> AttemptPlace:
        return self._place

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the attempt is being stopped; None while it is not."""
        return self._stop_reason

    async def acquire_node(self) -> None:
        """Wait until no other attempt is on the node, and take it. Never returns once a stop was requested."""
        await self._node.acquire()
        self._has_node = True
        if self.stop_requested.is_set():
            await asyncio.get_running_loop().create_future()
        self._place = AttemptPlace.ON_NODE
        self._changed.set()

    def release_node(self) -> None:
        """Release the node for the next attempt: this one's prompt has ended, or was never posted."""
        if self._has_node:
            self._node.release()
        self._place, self._has_node = AttemptPlace.LEFT_NODE, False
        self._changed.set()

    def mark_ended(self) -> None:
        """Record that the attempt has a result. Later stop requests are ignored."""
        self._ended = True

    def request_stop(self, reason: StopReason) -> None:
        """Request that this attempt stop, if it has not ended. Only the first request counts."""
        if self._ended or self._stop_reason is not None:
            return
        ref = self.ref
        log.info("executor.attempt.stopping", job_id=str(ref.job_id), attempt=ref.attempt, why=reason)
        self._stop_reason = reason
        self.stop_requested.set()


class LiveAttempts:
    """The attempts of this executor whose end has not been reported.

    Args:
        wall_clock: epoch seconds.

    Attributes:
        changed: set when an attempt is added, leaves the node or is removed.
        max_attempts: how many there may be, from the latest heartbeat reply.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self.changed = asyncio.Event()
        self.max_attempts = 2
        self._attempts: dict[str, LiveAttempt] = {}
        self._node = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[LiveAttempt]:
        return iter(list(self._attempts.values()))

    @property
    def is_node_taken(self) -> bool:
        """Whether an attempt is on the node."""
        return self._node.locked()

    def add(self, record: AttemptRecord) -> LiveAttempt:
        """Add an attempt, or return the one that was added before."""
        if record.prompt_id not in self._attempts:
            self._attempts[record.prompt_id] = LiveAttempt(record, self._node, self.changed, self._wall_clock)
            self.changed.set()
        return self._attempts[record.prompt_id]

    def remove(self, attempt: LiveAttempt) -> None:
        """Remove an attempt whose end was reported."""
        self._attempts.pop(attempt.record.prompt_id, None)
        self.changed.set()

    def list_in_order(self) -> list[LiveAttempt]:
        """Return all attempts, oldest first, except that the one on the node is always the first."""
        return sorted(self._attempts.values(), key=lambda attempt: attempt.place is not AttemptPlace.ON_NODE)

    def request_stop(self, reason: StopReason, job_id: UUID, attempt_no: int) -> None:
        """Request that an attempt stop. Nothing happens if this executor does not have it."""
        for attempt in self:
            if (attempt.ref.job_id, attempt.ref.attempt) == (job_id, attempt_no):
                attempt.request_stop(reason)

    def release_attempt(self, job_id: UUID, attempt_no: int) -> None:
        """Hand an attempt back if it waits for the node."""
        for attempt in self:
            is_same = (attempt.ref.job_id, attempt.ref.attempt) == (job_id, attempt_no)
            if is_same and attempt.place is AttemptPlace.WAITING:
                attempt.request_stop(StopReason.RELEASED)

    def release_waiting_attempts(self) -> None:
        """Hand back every attempt that waits behind another one for the node."""
        for attempt in self:
            if attempt.place is AttemptPlace.WAITING and len(self) > 1:
                attempt.request_stop(StopReason.RELEASED)
