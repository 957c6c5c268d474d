"""Publishes job events live, right after the commit."""

from chassis.messaging.bus import Bus
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobEvent


class JobEventPublisher:
    """Publishes committed events for live watchers. Delivery is best effort; the outbox publishes them reliably."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish_live(self, event: JobEvent | None) -> None:
        """Publish an event whose transaction has committed. Does nothing for None."""
        if event is not None:
            await self._bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(event.job_id))
