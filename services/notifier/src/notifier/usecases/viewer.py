"""One viewer of one job: what was sent and what remains."""

import asyncio
from datetime import UTC, datetime

from contracts.executor.progress import Progress
from contracts.scheduler.jobs import FINAL_STATES, STATUS_OF_STATE, Job, JobEvent, JobStatus
from contracts.scheduler.waiting import Waiting
from notifier.domain import frames
from notifier.domain.backlog import Backlog
from notifier.domain.timeline import Advance


class TooSlow(Exception):
    """The client reads more slowly than frames arrive."""


class Gone(Exception):
    """The job was deleted."""


class Viewer:
    """Takes events and progress of a job in order and returns frames, each once.

    Everything before ``start`` waits; what the snapshot already contains is then dropped.
    """

    def __init__(self) -> None:
        self._known: int | None = None
        self._early: list[JobEvent] = []
        self._advance = Advance()
        self._attempt = 0
        self._processing = False
        self._waiting: Waiting | None = None
        self._backlog = Backlog()
        self._ended = self._gone = False
        self._news = asyncio.Event()

    def start(self, job: Job, progress: float, replay: list[JobEvent], *, after: int | None) -> None:
        """Send the job's current state, then missed events.

        Args:
            job: current state.
            progress: percent.
            replay: events after ``after`` that the snapshot includes, in order.
            after: last event that the viewer has seen, None for a new viewer.
        """
        self._advance = Advance(job.attempt, progress)
        self._attempt = job.attempt
        self._processing = STATUS_OF_STATE[job.state] is JobStatus.PROCESSING
        self._backlog.add_states((frames.snapshot(job, progress=progress, at=datetime.now(UTC)),))
        for event in replay:
            self._backlog.add_states(frames.of_event(event))
        self._known, self._waiting = job.seq, job.waiting
        if job.state in FINAL_STATES:
            self._end_at_once(job, replay, after)
        for event in self._early:
            self.tell(event)
        self._news.set()

    def tell(self, event: JobEvent) -> None:
        """Add the next event of the job."""
        if self._known is None:
            self._early.append(event)
        elif event.seq > self._known and not self._ended:
            self._known, self._attempt, self._waiting = event.seq, event.attempt, None
            self._processing = STATUS_OF_STATE[event.state] is JobStatus.PROCESSING
            self._backlog.add_states(frames.of_event(event))
            self._ended = event.state in FINAL_STATES
            self._news.set()

    def tell_waiting(self, job: Job) -> None:
        """Add why the job waits, unless it was sent already or is out of date."""
        if job.waiting is None or job.seq != self._known or _is_same(job.waiting, self._waiting):
            return
        self._waiting = job.waiting
        self._backlog.add_progress(frames.of_waiting(job, at=datetime.now(UTC)))
        self._news.set()

    def tell_progress(self, progress: Progress) -> None:
        """Add progress, unless it goes back, belongs to another attempt, or is too late."""
        if not self._processing or progress.attempt != self._attempt:
            return
        if self._advance.passes(progress.attempt, progress.progress):
            self._backlog.add_progress(frames.of_progress(progress))
            self._news.set()

    def dismiss(self) -> None:
        """Record that the job was deleted."""
        self._gone = True
        self._news.set()

    async def next_frame(self) -> str | None:
        """Return the next frame, None after the last one.

        Raises:
            TooSlow: the backlog overflowed.
            Gone: the job was deleted.
        """
        while not self._backlog:
            if self._ended:
                return None
            if self._gone:
                raise Gone
            self._news.clear()
            await self._news.wait()
        if self._backlog.hopeless:
            raise TooSlow
        return self._backlog.take()

    def _end_at_once(self, job: Job, replay: list[JobEvent], after: int | None) -> None:
        """Send the end of an already ended job: outputs, final status and end, each unless sent before."""
        self._ended = True
        if replay and replay[-1].state in FINAL_STATES:
            return
        last = frames.last_event(job)
        seen = after is not None and after >= job.seq
        self._backlog.add_states((frames.end(last),) if seen else frames.of_event(last))


def _is_same(one: Waiting, other: Waiting | None) -> bool:
    return other is not None and (one.reason, one.detail) == (other.reason, other.detail)
