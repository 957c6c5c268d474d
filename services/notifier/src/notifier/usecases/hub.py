"""The watched jobs of this process: one feed per job, shared by its viewers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from chassis.messaging.bus import Bus
from notifier.usecases.feed import JobFeed
from notifier.usecases.job_reader import JobReader
from notifier.usecases.viewer import TrySend, Viewer


class Hub:
    """Creates the feed of a job for its first viewer, and closes it after the last one has left."""

    def __init__(self, bus: Bus, job_reader: JobReader, *, reread_s: float) -> None:
        self._bus, self._job_reader, self._reread_s = bus, job_reader, reread_s
        self._feeds: dict[tuple[str, UUID], JobFeed] = {}
        bus.when_connected(self.request_rereads)

    def request_rereads(self) -> None:
        """Have every feed read its job, since messages that were sent during a disconnect are lost."""
        for feed in self._feeds.values():
            feed.request_reread()

    @asynccontextmanager
    async def watch(self, tenant: str, job_id: UUID, after: int | None, *, try_send: TrySend) -> AsyncIterator[Viewer]:
        """Return a viewer of a job, which receives frames while the block runs.

        Args:
            try_send: sends a frame to the client if that is possible without waiting.

        Raises:
            Relayed: the tenant has no such job.
            Unavailable: the scheduler does not answer.
            InvalidResumePosition: ``after`` is ahead of the job.
        """
        key = (tenant, job_id)
        feed = self._feeds.get(key)
        if feed is None:
            feed = JobFeed(self._bus, self._job_reader, tenant=tenant, job_id=job_id, reread_s=self._reread_s)
            self._feeds[key] = feed
        viewer = Viewer(try_send)
        try:
            await feed.add_viewer(viewer, after)
            yield viewer
        finally:
            feed.viewers.discard(viewer)
            if not feed.viewers and self._feeds.get(key) is feed:
                del self._feeds[key]
                await feed.close()
