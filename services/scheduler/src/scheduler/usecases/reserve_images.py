"""Reserves more images for a running job that produces more than expected."""

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import ImagesReserved, ReserveImages
from scheduler.domain.states import is_final
from scheduler.store import tenants, transitions


class ImageReserver:
    """Reserves images for running jobs within the tenant's daily quota.

    All images of a job count on the UTC day on which the job was accepted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve_images(self, node: str, command: ReserveImages) -> ImagesReserved:
        """Reserve up to ``command.images`` in total, and return how many are now reserved. Idempotent."""
        ref = command.ref
        async with self._database.direct() as connection:
            await tenants.lock_quota_groups(connection, [ref.tenant_id], wait_for_locks=True)
            locked_at = await tenants.lock_tenant(connection, ref.tenant_id)
            locked = await transitions.lock_attempt(connection, ref, node)
            if locked_at is None or locked is None or is_final(locked.job.state):
                return ImagesReserved(images=0, applied=False)
            job = locked.job
            missing = max(command.images - job.images, 0)
            left = await tenants.count_images_left(connection, ref.tenant_id, job.usage_day) if missing else None
            added = missing if left is None else min(missing, max(left, 0))
            if added:
                await transitions.reserve_images(connection, job, added)
        if missing:
            log.info(
                "scheduler.images.reserved", job_id=str(ref.job_id), asked=command.images, images=job.images + added
            )
        return ImagesReserved(images=job.images + added, applied=True)
