"""Publishes job events live, right after the commit."""

from chassis.messaging.bus import Bus
from contracts.scheduler.jobs import JOB_CHANGED_LIVE
from scheduler.store.transitions import Transition
from scheduler.usecases.job_metrics import JobMetrics


class JobEventPublisher:
    """Publishes committed events for live watchers, and counts them.

    Delivery is best effort; the outbox publishes events reliably.
    """

    def __init__(self, bus: Bus, metrics: JobMetrics) -> None:
        self._bus, self._metrics = bus, metrics

    async def publish_live_event(self, transition: Transition | None) -> None:
        """Publish the event of a transition whose transaction has committed. Does nothing for None."""
        if transition is not None:
            self._metrics.count_transition(transition)
            event = transition.event
            await self._bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(event.job_id))
