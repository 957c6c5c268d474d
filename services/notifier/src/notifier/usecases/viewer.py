"""One viewer of one job: its queue of frames, and what it has seen."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from contracts.executor.progress import Progress
from contracts.scheduler.jobs import FINAL_STATES, STATUS_OF_STATE, Job, JobEvent, JobStatus
from contracts.scheduler.waiting import Waiting
from notifier.domain import frames
from notifier.domain.backlog import Backlog
from notifier.domain.timeline import ProgressFilter


class ViewerTooSlow(Exception):
    """The client reads more slowly than frames arrive."""


class JobDeleted(Exception):
    """The job was deleted."""


TrySend = Callable[[str], bool]
"""Sends a frame if that needs no wait; returns whether it was sent."""


class Viewer:
    """Receives events and progress of a job in order, and returns each frame once.

    Events before ``start`` are kept until then; those that the snapshot includes are dropped.

    Args:
        try_send: sends progress at once if no earlier frame is queued, which saves a task switch for each frame.

    Attributes:
        request_id: id of the request that submitted the job, for logs; None until an event has it.
    """

    def __init__(self, try_send: TrySend) -> None:
        self._try_send = try_send
        self.request_id: str | None = None
        self._last_seq: int | None = None
        self._early_events: list[tuple[JobEvent, tuple[str, ...]]] = []
        self._progress_filter = ProgressFilter()
        self._attempt = 0
        self._processing = False
        self._waiting: Waiting | None = None
        self._backlog = Backlog()
        self._has_ended = self._is_deleted = False
        self._changed = asyncio.Event()

    def start(self, job: Job, progress: float, replay: list[JobEvent], *, after: int | None) -> None:
        """Send the job's current state, then missed events.

        Args:
            job: current state.
            progress: percent.
            replay: events after ``after`` that the snapshot includes, in order.
            after: last event that the viewer has seen, None for a new viewer.
        """
        self._progress_filter = ProgressFilter(job.attempt, progress)
        self._attempt = job.attempt
        self._processing = STATUS_OF_STATE[job.state] is JobStatus.PROCESSING
        self._backlog.add_states((frames.encode_snapshot(job, progress=progress, at=datetime.now(UTC)),))
        for event in replay:
            self.request_id = event.request_id or self.request_id
            self._backlog.add_states(frames.encode_event(event))
        self._last_seq, self._waiting = job.seq, job.waiting
        if job.state in FINAL_STATES:
            self._add_end(job, replay, after)
        for event, encoded in self._early_events:
            self.add_event(event, encoded)
        self._changed.set()

    def add_event(self, event: JobEvent, encoded: tuple[str, ...]) -> None:
        """Add the next event of the job, with its frames."""
        self.request_id = event.request_id or self.request_id
        if self._last_seq is None:
            self._early_events.append((event, encoded))
        elif event.seq > self._last_seq and not self._has_ended:
            self._last_seq, self._attempt, self._waiting = event.seq, event.attempt, None
            self._processing = STATUS_OF_STATE[event.state] is JobStatus.PROCESSING
            self._backlog.add_states(encoded)
            self._has_ended = event.state in FINAL_STATES
            self._changed.set()

    def add_waiting(self, job: Job, waiting: Waiting, frame: str) -> None:
        """Add the reason why the job waits, unless it was already sent or is out of date."""
        if job.seq != self._last_seq or _is_same_reason(waiting, self._waiting):
            return
        self._waiting = waiting
        self._backlog.add_progress(frame)
        self._changed.set()

    def add_progress(self, progress: Progress, frame: str) -> None:
        """Add progress, unless it decreases, belongs to another attempt, or the job is not running."""
        if not self._processing or progress.attempt != self._attempt:
            return
        if not self._progress_filter.try_advance(progress.attempt, progress.progress):
            return
        if self._backlog or not self._try_send(frame):
            self._backlog.add_progress(frame)
            self._changed.set()

    def mark_deleted(self) -> None:
        """Record that the job was deleted."""
        self._is_deleted = True
        self._changed.set()

    async def wait_for_next_frame(self) -> str | None:
        """Return the next frame, None after the last one.

        Raises:
            ViewerTooSlow: the backlog overflowed.
            JobDeleted: the job was deleted.
        """
        while not self._backlog:
            if self._has_ended:
                return None
            if self._is_deleted:
                raise JobDeleted
            self._changed.clear()
            await self._changed.wait()
        if self._backlog.is_overflowing:
            raise ViewerTooSlow
        return self._backlog.pop()

    def _add_end(self, job: Job, replay: list[JobEvent], after: int | None) -> None:
        """Add the last frames of an ended job (outputs, final status, ``end``), unless they were already sent."""
        self._has_ended = True
        if replay and replay[-1].state in FINAL_STATES:
            return
        last = frames.build_final_event(job)
        has_seen_status = after is not None and after >= job.seq
        self._backlog.add_states((frames.encode_end(last),) if has_seen_status else frames.encode_event(last))


def _is_same_reason(waiting: Waiting, previous: Waiting | None) -> bool:
    return previous is not None and (waiting.reason, waiting.detail) == (previous.reason, previous.detail)
