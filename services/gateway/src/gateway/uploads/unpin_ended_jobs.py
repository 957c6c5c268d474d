"""Unpins the uploads of ended jobs.

Only the scheduler decides whether a job has ended, not elapsed time.
"""

from collections.abc import Collection
from datetime import timedelta

from chassis.messaging.bus import Bus
from contracts.scheduler.purges import FIND_JOBS, MAX_FIND_JOBS, FindJobs
from gateway.uploads.store import UploadStore, UploadUse

SUBMISSION_GRACE = timedelta(minutes=5)  # uploads are pinned some seconds before their job is submitted


class EndedJobUnpinner:
    """Finds ended jobs by a request to the scheduler, and unpins their uploads."""

    def __init__(self, bus: Bus, uploads: UploadStore) -> None:
        self._bus, self._uploads = bus, uploads

    async def unpin_ended(self, uses: Collection[UploadUse]) -> set[UploadUse]:
        """Unpin the uploads of those uses whose job has ended. Return the other uses.

        A job that the scheduler does not know counts as not ended for ``SUBMISSION_GRACE``, since it may be submitted
        soon.

        Raises:
            Unavailable, RelayedRefusal: the scheduler does not answer.
        """
        all_uses, active = list(uses), set[UploadUse]()
        for start in range(0, len(all_uses), MAX_FIND_JOBS):
            batch = all_uses[start : start + MAX_FIND_JOBS]
            reply = await self._bus.request(FIND_JOBS, FindJobs(job_ids=tuple(use.job_id for use in batch)))
            known, ended = set(reply.job_ids), set(reply.ended)
            active_in_batch = {
                use
                for use in batch
                if use.job_id not in ended and (use.job_id in known or use.since < SUBMISSION_GRACE)
            }
            active |= active_in_batch
            if ended_ids := [use.job_id for use in batch if use not in active_in_batch]:
                await self._uploads.unpin(ended_ids)
        return active
