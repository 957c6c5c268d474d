"""Background loops of uploads."""

from chassis.loop import Loop
from gateway.uploads.removal import UploadSweeper


def upload_loops(sweeper: UploadSweeper, *, expire_every_s: float, orphans_every_s: float) -> tuple[Loop, ...]:
    """Delete expired uploads often; delete files without a record seldom, since that lists the whole store."""
    return (
        Loop("gateway.expire_uploads", sweeper.expire, every_s=expire_every_s),
        Loop("gateway.collect_orphans", sweeper.collect_orphans, every_s=orphans_every_s),
    )
