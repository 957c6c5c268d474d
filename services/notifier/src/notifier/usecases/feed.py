"""Follows one job for all its viewers."""

import asyncio
import random
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from chassis.telemetry.logs import log
from contracts.executor.progress import PROGRESS, Progress
from contracts.scheduler.jobs import FINAL_STATES, JOB_CHANGED_LIVE, JobEvent, JobState, UnknownJob
from contracts.wire.errors import Refusal, Unavailable
from notifier.domain import frames
from notifier.domain.errors import InvalidResumePosition
from notifier.domain.timeline import Timeline
from notifier.usecases.job_reader import JobReader
from notifier.usecases.viewer import Viewer

MIN_REREAD_PAUSE_S = 0.2  # minimum seconds between two reads of the job
FIRST_RETRY_PAUSE_S = 1.0  # after a read that failed; doubles with each further failure, up to ``reread_s``
MAX_RETRY_DOUBLINGS = 16  # to 18 hours; more could overflow
MAX_PROGRESS = 8
"""Progress messages sent at a time. If more arrive meanwhile, this process is overloaded and skips the oldest."""


class JobFeed:
    """Receives a job's live events, reads the job every ``reread_s``, and sends the events to all viewers in order.

    A frame is encoded once for all viewers. Only the frames at the start of a viewer are encoded for it alone.
    """

    def __init__(self, bus: Bus, job_reader: JobReader, *, tenant: str, job_id: UUID, reread_s: float) -> None:
        self._bus, self._job_reader, self._reread_s = bus, job_reader, reread_s
        self._tenant, self._job_id = tenant, job_id
        self._timeline = Timeline()
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)
        self._ended = False
        self._attempt = 0
        self._reread_due = asyncio.Event()
        self._subscribe_lock = asyncio.Lock()
        self._subscriptions: list[Unsubscribe] = []
        self._reread_task: asyncio.Task[None] | None = None
        self.viewers: set[Viewer] = set()

    async def add_viewer(self, viewer: Viewer, after: int | None) -> None:
        """Add a viewer and start it.

        The feed subscribes before it reads the job, so that nothing is lost in between.

        Raises:
            RelayedRefusal: the tenant has no such job.
            Unavailable: the scheduler does not answer.
            InvalidResumePosition: ``after`` is greater than the last ``seq`` of the job.
        """
        self.viewers.add(viewer)
        async with self._subscribe_lock:
            if not self._subscriptions:
                await self._subscribe()
        job = (await self._job_reader.read_job(self._tenant, self._job_id)).job
        if after is not None and after > job.seq:
            raise InvalidResumePosition
        seen = job.seq if after is None else after
        emitted = self._timeline.last_seq if self._timeline.last_seq is not None else job.seq
        missed = await self._job_reader.read_events(self._tenant, self._job_id, min(seen, emitted), job.seq)
        self._timeline.start(job.seq)
        viewer.start(
            job, await self._job_reader.read_progress(job), [event for event in missed if event.seq > seen], after=after
        )
        self._attempt = max(self._attempt, job.attempt)
        self._ended = self._ended or job.state in FINAL_STATES
        self._publish_events(missed)
        if (
            self._timeline.last_seq or 0
        ) < job.seq:  # an older state was read for another viewer, and used to start the timeline
            self.request_reread()
        if self._reread_task is None:
            self._reread_task = asyncio.create_task(self._reread_until_ended(), name="notifier.reread_job")

    def request_reread(self) -> None:
        """Read the job soon, since events may have been missed."""
        self._reread_due.set()

    async def close(self) -> None:
        """Stop reading the job, and unsubscribe."""
        if self._reread_task is not None:
            self._reread_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._reread_task
        await self._unsubscribe()

    async def _subscribe(self) -> None:
        key = str(self._job_id)
        try:
            self._subscriptions.append(
                await self._bus.subscribe(JOB_CHANGED_LIVE, self._on_event, tenant=self._tenant, key=key)
            )
            self._subscriptions.append(
                await self._bus.subscribe(PROGRESS, self._on_progress, tenant=self._tenant, key=key)
            )
        except Unavailable:
            await self._unsubscribe()
            raise

    async def _unsubscribe(self) -> None:
        for unsubscribe in self._subscriptions:
            await unsubscribe()
        self._subscriptions = []

    async def _on_event(self, event: JobEvent, _: Metadata) -> None:
        self._publish_events([event])

    async def _on_progress(self, progress: Progress, _: Metadata) -> None:
        if progress.attempt > self._attempt:  # the event that started this attempt has not arrived yet
            self.request_reread()
        if not self._progress:
            asyncio.get_running_loop().call_soon(self._send_progress)
        self._progress.append(progress)

    def _send_progress(self) -> None:
        while self._progress:
            progress = self._progress.popleft()
            frame = frames.encode_progress(progress)
            for viewer in self.viewers:
                viewer.add_progress(progress, frame)

    def _publish_events(self, events: list[JobEvent]) -> None:
        for event in self._timeline.add(*events):
            self._attempt = event.attempt
            self._ended = event.state in FINAL_STATES
            encoded = frames.encode_event(event)
            for viewer in self.viewers:
                viewer.add_event(event, encoded)
            if event.state is JobState.QUEUED:  # the event does not contain the waiting reason
                self.request_reread()
        if self._timeline.has_gap:
            self.request_reread()

    async def _reread_until_ended(self) -> None:
        """Read the job periodically until it ends: a live message may be lost without notice."""
        failures = 0
        while not self._ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(_add_jitter(self._reread_s)):
                    await self._reread_due.wait()
            self._reread_due.clear()
            try:
                await self._reread_job()
                failures = 0
            except Refusal as refusal:
                log.debug("notifier.feed.reread_failed", code=refusal.details.code)
                if refusal.details.code == UnknownJob.code:
                    break
                failures += 1
            except Exception:  # noqa: BLE001 - top level of a task, which must survive a bug in one read
                log.exception("notifier.feed.reread_crashed")
                failures += 1
            if failures:
                self.request_reread()  # events may be missing
            await asyncio.sleep(self._compute_pause(failures))
        if not self._ended:
            for viewer in self.viewers:
                viewer.mark_deleted()

    def _compute_pause(self, failures: int) -> float:
        """Return the pause after a read, seconds. ``failures``: how many of the last reads failed in a row."""
        if failures == 0:
            return MIN_REREAD_PAUSE_S
        retry_pause_s = FIRST_RETRY_PAUSE_S * 2.0 ** min(failures - 1, MAX_RETRY_DOUBLINGS)
        return _add_jitter(min(retry_pause_s, self._reread_s))

    async def _reread_job(self) -> None:
        last_seq = self._timeline.last_seq or 0
        job = (await self._job_reader.read_job(self._tenant, self._job_id)).job
        self._publish_events(await self._job_reader.read_events(self._tenant, self._job_id, last_seq, job.seq))
        if job.waiting is None:
            return
        frame = frames.encode_waiting(job, at=datetime.now(UTC))
        for viewer in self.viewers:
            viewer.add_waiting(job, job.waiting, frame)


def _add_jitter(seconds: float) -> float:
    """Change a pause by up to a fifth, so that feeds do not read at the same time."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - only spreads load
