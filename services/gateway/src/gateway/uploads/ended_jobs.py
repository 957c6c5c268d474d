"""Jobs let go of what they used when they have ended. The scheduler says so; time alone never does."""

from collections.abc import Collection
from datetime import timedelta

from chassis.messaging.bus import Bus
from contracts.scheduler.purges import FIND_JOBS, MAX_FIND_JOBS, FindJobs
from gateway.uploads.store import Uploads, Use

COMING = timedelta(minutes=5)  # a job is pinned for before it is submitted, which takes seconds


class EndedJobs:
    """Asks the scheduler, and writes down what it says."""

    def __init__(self, bus: Bus, uploads: Uploads) -> None:
        self._bus, self._uploads = bus, uploads

    async def still_held(self, uses: Collection[Use]) -> set[Use]:
        """Those of these uses that hold; the others are noted as ended.

        A job that the scheduler does not know holds as long as it may still be on its way there.

        Raises:
            Unavailable, Relayed: the scheduler does not answer.
        """
        every, held = list(uses), set[Use]()
        for start in range(0, len(every), MAX_FIND_JOBS):
            batch = every[start : start + MAX_FIND_JOBS]
            said = await self._bus.request(FIND_JOBS, FindJobs(job_ids=tuple(use.job_id for use in batch)))
            there, ended = set(said.job_ids), set(said.ended)
            holding = {use for use in batch if use.job_id not in ended and (use.job_id in there or use.since < COMING)}
            held |= holding
            if over := [use.job_id for use in batch if use not in holding]:
                await self._uploads.unpin(over)
        return held
