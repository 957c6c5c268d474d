"""Background loops of uploads."""

from chassis.loop import Loop
from gateway.uploads.removal import UploadSweeper


def create_upload_loop(sweeper: UploadSweeper, *, every_s: float) -> Loop:
    """Return the loop that deletes expired uploads."""
    return Loop("gateway.expire_uploads", sweeper.delete_expired, every_s=every_s)
