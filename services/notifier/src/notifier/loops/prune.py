"""Deletes old events hourly, in every replica."""

from datetime import timedelta

from chassis.loop import Loop
from notifier.store.events import Events

EVERY_S = 3600.0


def prune_loop(events: Events, *, keep_days: float) -> Loop:
    """Return the loop that deletes events older than ``keep_days``."""

    async def prune() -> None:
        await events.prune(older_than=timedelta(days=keep_days))

    return Loop("notifier.prune", prune, every_s=EVERY_S)
