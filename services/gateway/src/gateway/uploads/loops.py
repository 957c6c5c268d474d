"""Uploads whose time is over go, and bytes that nobody knows of."""

from chassis.loop import Loop
from gateway.uploads.removal import UploadSweeper


def upload_loops(sweeper: UploadSweeper, *, expire_every_s: float, orphans_every_s: float) -> tuple[Loop, ...]:
    """One looks at the rows, often; the other at the store, seldom: it lists all of it."""
    return (
        Loop("gateway.expire_uploads", sweeper.expire, every_s=expire_every_s),
        Loop("gateway.collect_orphans", sweeper.collect_orphans, every_s=orphans_every_s),
    )
