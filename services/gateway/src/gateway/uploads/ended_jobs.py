"""Finds out which jobs have ended and no longer use their uploads.

Only the scheduler decides that, not elapsed time.
"""

from collections.abc import Collection
from datetime import timedelta

from chassis.messaging.bus import Bus
from contracts.scheduler.purges import FIND_JOBS, MAX_FIND_JOBS, FindJobs
from gateway.uploads.store import UploadStore, UploadUse

COMING = timedelta(minutes=5)  # uploads are pinned some seconds before their job is submitted


class EndedJobs:
    """Asks the scheduler which jobs have ended, and unpins their uploads."""

    def __init__(self, bus: Bus, uploads: UploadStore) -> None:
        self._bus, self._uploads = bus, uploads

    async def find_active_uses(self, uses: Collection[UploadUse]) -> set[UploadUse]:
        """Return the uses whose job has not ended; the others are unpinned.

        A job that the scheduler does not know counts as not ended for ``COMING``: it may be about to be submitted.

        Raises:
            Unavailable, RelayedRefusal: the scheduler does not answer.
        """
        every, held = list(uses), set[UploadUse]()
        for start in range(0, len(every), MAX_FIND_JOBS):
            batch = every[start : start + MAX_FIND_JOBS]
            reply = await self._bus.request(FIND_JOBS, FindJobs(job_ids=tuple(use.job_id for use in batch)))
            known, ended = set(reply.job_ids), set(reply.ended)
            holding = {use for use in batch if use.job_id not in ended and (use.job_id in known or use.since < COMING)}
            held |= holding
            if over := [use.job_id for use in batch if use not in holding]:
                await self._uploads.unpin(over)
        return held
