"""The attempts that this executor has, shared by all loops."""

import asyncio
from collections.abc import Iterator
from enum import Enum, auto
from uuid import UUID

from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef
from executor.domain.attempt import AttemptRecord, StopReason


class AttemptPlace(Enum):
    """How far an attempt is. At most one is ``ON_NODE`` at a time."""

    WAITING = auto()  # for the node; its prompt was not posted by this process
    ON_NODE = auto()
    LEFT_NODE = auto()  # its prompt has ended: outputs are stored, or the end is reported


class LiveAttempt:
    """State of one live attempt: its place, progress and stop request. Not thread-safe.

    Attributes:
        record: as in the journal.
        graph_node, graph_node_class: node of the graph that runs, and its class.
    """

    def __init__(self, record: AttemptRecord, node: asyncio.Lock, changed: asyncio.Event) -> None:
        self.record, self.percent = record, 0.0
        self.graph_node: str | None = None
        self.graph_node_class: str | None = None
        self.stop_requested = asyncio.Event()
        self._node, self._changed = node, changed
        self._place, self._has_node = AttemptPlace.WAITING, False
        self._stop: StopReason | None = None
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
        """Why the attempt is being stopped, None while it is not."""
        return self._stop

    async def take_node(self) -> None:
        """Wait until no other attempt is on the node, and take it. Never returns once a stop was requested."""
        await self._node.acquire()
        self._has_node = True
        if self.stop_requested.is_set():
            await asyncio.get_running_loop().create_future()
        self._place = AttemptPlace.ON_NODE
        self._changed.set()

    def leave_node(self) -> None:
        """Let the next attempt have the node: this one's prompt has ended, or was never posted."""
        if self._has_node:
            self._node.release()
        self._place, self._has_node = AttemptPlace.LEFT_NODE, False
        self._changed.set()

    def mark_ended(self) -> None:
        """Record that the attempt ended by itself; nothing stops it any more."""
        self._ended = True

    def request_stop(self, stop: StopReason) -> None:
        """Stop this attempt, if it has not ended."""
        if self._ended or self._stop is not None:
            return
        ref = self.ref
        log.info("executor.attempt.stopping", job_id=str(ref.job_id), attempt=ref.attempt, why=stop)
        self._stop = stop
        self.stop_requested.set()


class LiveAttempts:
    """The attempts of this executor whose end is not reported.

    Attributes:
        changed: set when an attempt is added, leaves the node or is removed.
        max_attempts: how many there may be, as the scheduler said.
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
        """Add an attempt, or return it if it is there."""
        if record.prompt_id not in self._attempts:
            self._attempts[record.prompt_id] = LiveAttempt(record, self._node, self.changed)
            self.changed.set()
        return self._attempts[record.prompt_id]

    def remove(self, attempt: LiveAttempt) -> None:
        """Remove an attempt whose end was reported."""
        self._attempts.pop(attempt.record.prompt_id, None)
        self.changed.set()

    def list_in_order(self) -> list[LiveAttempt]:
        """List the attempt that is on the node, or else the oldest, and then the others."""
        return sorted(self._attempts.values(), key=lambda attempt: attempt.place is not AttemptPlace.ON_NODE)

    def request_stop(self, stop: StopReason, job_id: UUID, attempt: int) -> None:
        """Stop an attempt. Nothing happens if this executor does not have it."""
        for one in self:
            if (one.ref.job_id, one.ref.attempt) == (job_id, attempt):
                one.request_stop(stop)

    def release_attempt(self, job_id: UUID, attempt: int) -> None:
        """Hand an attempt back if it waits for the node."""
        for one in self:
            if (one.ref.job_id, one.ref.attempt) == (job_id, attempt) and one.place is AttemptPlace.WAITING:
                one.request_stop(StopReason.RELEASED)

    def release_waiting_attempts(self) -> None:
        """Hand back every attempt that waits for a node that another attempt has."""
        for one in self:
            if one.place is AttemptPlace.WAITING and len(self) > 1:
                one.request_stop(StopReason.RELEASED)
