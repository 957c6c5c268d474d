"""Deletes expired records."""

from datetime import timedelta

from auth.store import changes, invites, keys, login_links, quota_groups, sessions, tickets
from chassis.database.postgres import Database

EVERY_S = 600.0


class Pruner:
    """Deletes user changes and key requests after a day, sessions a day and keys 90 days after their end.

    Unused tickets are deleted after they expire, unused login links a day later, invites 90 days later, and address
    digests once no new account can join their group.

    Args:
        idle: lifetime of a session that is not refreshed.
        shared_quota: how long new accounts join the group of an address.
    """

    def __init__(self, database: Database, *, idle: timedelta, shared_quota: timedelta) -> None:
        self._database, self._idle, self._shared_quota = database, idle, shared_quota

    async def tick(self) -> None:
        for expired in (
            changes.EXPIRED_CHANGES,
            keys.EXPIRED_REQUESTS,
            keys.EXPIRED_KEYS,
            tickets.EXPIRED_TICKETS,
            invites.EXPIRED_INVITES,
            login_links.EXPIRED_LOGIN_LINKS,
        ):
            await expired.delete(self._database)
        await sessions.EXPIRED_SESSIONS.delete(self._database, idle=self._idle)
        await quota_groups.EXPIRED_GROUPS.delete(self._database, max_age=self._shared_quota)
