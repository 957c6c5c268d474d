"""The attempts of this executor, shared by all loops."""

import asyncio
from collections.abc import Iterator
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
    """State of one live attempt: its place, progress and stop request. Not thread-safe.

    Attributes:
        record: record in the journal.
        graph_node, graph_node_class: node of the graph that runs, and its class.
    """

    def __init__(self, record: AttemptRecord, node: asyncio.Lock, changed: asyncio.Event) -> None:
        self.record, self.percent = record, 0.0
        self.graph_node: str | None = None
        self.graph_node_class: str | None = None
        self.stop_requested = asyncio.Event()
        self._node, self._changed = node, changed
        self._place, self._has_node = AttemptPlace.WAITING, False
        self._stop_reason: StopReason | None = None
        self._ended = record.finish is not None

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

    Attributes:
        changed: set when an attempt is added, leaves the node or is removed.
        max_attempts: how many there may be, from the latest heartbeat reply.
    """

    def __init__(self) -> None:
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
            self._attempts[record.prompt_id] = LiveAttempt(record, self._node, self.changed)
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
