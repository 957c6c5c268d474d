"""Whoever watches a job hears of its transition at once."""

from chassis.messaging.bus import Bus
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobEvent


class Announcer:
    """Says committed events live. The outbox says them again, for certain, a moment later."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, event: JobEvent | None) -> None:
        """Announce an event whose transaction has committed; nothing if there is none."""
        if event is not None:
            await self._bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(event.job_id))
