"""Follows one job for all its viewers."""

import asyncio
import random
from contextlib import suppress
from uuid import UUID

from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from chassis.telemetry.logs import log
from contracts.executor.progress import PROGRESS, Progress
from contracts.scheduler.jobs import FINAL_STATES, JOB_CHANGED_LIVE, JobEvent, JobState, UnknownJob
from contracts.wire.errors import Refusal, Unavailable
from notifier.domain.timeline import Timeline
from notifier.usecases.history import History
from notifier.usecases.viewer import Viewer

BREATH_S = 0.2  # minimum seconds between two reads of the job


class Feed:
    """Receives a job's live events, reads it every ``reread_s``, and sends all viewers the same in order."""

    def __init__(self, bus: Bus, history: History, *, tenant: str, job_id: UUID, reread_s: float) -> None:
        self._bus, self._history, self._reread_s = bus, history, reread_s
        self._tenant, self._job_id = tenant, job_id
        self._timeline = Timeline()
        self._ended = False
        self._attempt = 0
        self._wake = asyncio.Event()
        self._opening = asyncio.Lock()
        self._close: list[Unsubscribe] = []
        self._following: asyncio.Task[None] | None = None
        self.viewers: set[Viewer] = set()

    async def join(self, viewer: Viewer, after: int | None) -> None:
        """Add a viewer and start it.

        The feed subscribes before it reads the job, so that nothing is lost in between.

        Raises:
            Relayed: the tenant has no such job.
            Unavailable: the scheduler does not answer.
            ValueError: ``after`` lies in the future.
        """
        self.viewers.add(viewer)
        async with self._opening:
            if not self._close:
                await self._open()
        job = (await self._history.read(self._tenant, self._job_id)).job
        if after is not None and after > job.seq:
            raise ValueError("after lies in the future")
        seen = job.seq if after is None else after
        known = self._timeline.known if self._timeline.known is not None else job.seq
        missed = await self._history.between(self._tenant, self._job_id, min(seen, known), job.seq)
        self._timeline.begin(job.seq)
        viewer.start(
            job, await self._history.progress(job), [event for event in missed if event.seq > seen], after=after
        )
        self._attempt = max(self._attempt, job.attempt)
        self._ended = self._ended or job.state in FINAL_STATES
        self._tell(missed)
        if (self._timeline.known or 0) < job.seq:  # another viewer that knows less joined meanwhile
            self.wake()
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="notifier.follow")

    def wake(self) -> None:
        """Read the job soon: events may have been missed."""
        self._wake.set()

    async def close(self) -> None:
        """Unsubscribe."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await self._unsubscribe()

    async def _open(self) -> None:
        key = str(self._job_id)
        try:
            self._close.append(
                await self._bus.subscribe(JOB_CHANGED_LIVE, self._on_event, tenant=self._tenant, key=key)
            )
            self._close.append(await self._bus.subscribe(PROGRESS, self._on_progress, tenant=self._tenant, key=key))
        except Unavailable:
            await self._unsubscribe()
            raise

    async def _unsubscribe(self) -> None:
        for close in self._close:
            await close()
        self._close = []

    async def _on_event(self, event: JobEvent, _: Metadata) -> None:
        self._tell([event])

    async def _on_progress(self, progress: Progress, _: Metadata) -> None:
        if progress.attempt > self._attempt:  # its start has not been received yet
            self.wake()
        for viewer in self.viewers:
            viewer.tell_progress(progress)

    def _tell(self, events: list[JobEvent]) -> None:
        for event in self._timeline.offer(*events):
            self._attempt = event.attempt
            self._ended = event.state in FINAL_STATES
            for viewer in self.viewers:
                viewer.tell(event)
            if event.state is JobState.QUEUED:  # the event does not contain the waiting reason
                self.wake()
        if self._timeline.gap:
            self.wake()

    async def _follow(self) -> None:
        """Read the job periodically until it ends: a live message may be lost without notice."""
        while not self._ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._reread_s * random.uniform(0.8, 1.2)):  # noqa: S311 - only spreads load
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._catch_up()
            except Refusal as refusal:
                log.debug("notifier.feed.reread_failed", code=refusal.refused.code)
                if refusal.refused.code == UnknownJob.code:
                    break
            except Exception:  # noqa: BLE001 - the edge of a task: it must outlive a bug in one reading
                log.exception("notifier.feed.reread_crashed")
            await asyncio.sleep(BREATH_S)
        if not self._ended:
            for viewer in self.viewers:
                viewer.dismiss()

    async def _catch_up(self) -> None:
        known = self._timeline.known or 0
        job = (await self._history.read(self._tenant, self._job_id)).job
        self._tell(await self._history.between(self._tenant, self._job_id, known, job.seq))
        for viewer in self.viewers:
            viewer.tell_waiting(job)
