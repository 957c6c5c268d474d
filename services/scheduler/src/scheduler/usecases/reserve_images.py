"""An attempt is about to store more images than were reserved for its job."""

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import ImagesReserved, ReserveImages
from scheduler.domain.states import is_final
from scheduler.store import tenants, transitions


class ImageReserver:
    """Reserves more images for running jobs, as far as the day's quota has them.

    The day is the one on which the job was accepted; all that it makes counts there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, node: str, command: ReserveImages) -> ImagesReserved:
        """What is reserved for the job from now on. Asking again for the same changes nothing."""
        ref = command.ref
        async with self._database.direct() as connection:
            await tenants.lock_groups(connection, [ref.tenant_id], patient=True)
            locked_at = await tenants.lock(connection, ref.tenant_id)
            held = await transitions.hold_attempt(connection, ref, node)
            if locked_at is None or held is None or is_final(held.job.state):
                return ImagesReserved(images=0, applied=False)
            job = held.job
            wanted = max(command.images - job.images, 0)
            left = await tenants.images_left(connection, ref.tenant_id, job.usage_day) if wanted else None
            more = wanted if left is None else min(wanted, max(left, 0))
            if more:
                await transitions.reserve_images(connection, job, more)
        if wanted:
            log.info(
                "scheduler.images.reserved", job_id=str(ref.job_id), asked=command.images, images=job.images + more
            )
        return ImagesReserved(images=job.images + more, applied=True)
