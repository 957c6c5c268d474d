"""What nobody needs any more goes."""

from datetime import timedelta

from auth.store import changes, invites, keys, quota_groups, sessions, tickets
from chassis.database.postgres import Database

EVERY_S = 600.0


class Pruner:
    """Forgets changes and who asked for a key after a day, sessions a day after their end, and keys 90 days after.

    Tickets that nobody came with go at once, invites 90 days after they expired, and addresses as soon as no account
    can join their group any more.

    Args:
        idle: how long a session lives without being refreshed.
        shared_quota: how long accounts join the group of an address.
    """

    def __init__(self, database: Database, *, idle: timedelta, shared_quota: timedelta) -> None:
        self._database, self._idle, self._shared_quota = database, idle, shared_quota

    async def tick(self) -> None:
        """One round. A duty for ``chassis.loop.Loop``."""
        async with self._database.single() as connection:
            await changes.prune(connection)
            await keys.prune_requests(connection)
            await keys.prune(connection)
            await sessions.prune(connection, idle=self._idle)
            await tickets.prune(connection)
            await invites.prune(connection)
            await quota_groups.prune(connection, lasts=self._shared_quota)
