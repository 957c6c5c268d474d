"""Deletes old events and dead letters: once an hour, in every replica."""

from datetime import timedelta

from chassis.loop import Loop
from chassis.messaging.dead_letters import DeadLetterStore
from notifier.store.events import EventStore

PRUNE_EVERY_S = 3600.0


def create_prune_loop(events: EventStore, dead_letters: DeadLetterStore, *, keep_days: float) -> Loop:
    """Return the loop that deletes events older than ``keep_days`` and old dead letters."""

    async def prune() -> None:
        await events.prune_events(older_than=timedelta(days=keep_days))
        await dead_letters.prune()

    return Loop("notifier.prune", prune, every_s=PRUNE_EVERY_S)
