"""Actions of admins on jobs of any user."""

from contracts.scheduler.job_actions import JobAction
from gateway.admin.dry_run import DryRunBody, build_dry_run_body, preview_job_action
from gateway.admin.operation_schemas import InspectedJobBody, build_inspected_job_body
from gateway.admin.operations import AdminActions, AdminContext


class JobActionService:
    """Performs or previews actions on jobs of any user."""

    def __init__(self, operations: AdminActions, public_url: str) -> None:
        self._operations, self._public_url = operations, public_url

    async def change_job(
        self, admin: AdminContext, job_id: str, action: JobAction, *, priority: int | None = None
    ) -> InspectedJobBody:
        """Change a job and return it, or the new job that runs it again."""
        job = await self._operations.run_job_action(admin, job_id, action, priority=priority)
        return build_inspected_job_body(await self._operations.read_job(admin, job.job_id), self._public_url)

    async def change_or_preview(
        self, admin: AdminContext, job_id: str, action: JobAction, *, dry_run: bool
    ) -> InspectedJobBody | DryRunBody:
        """Change a job, or return only what would happen. The audit log records a dry run as reading the job."""
        if dry_run:
            return build_dry_run_body(preview_job_action(await self._operations.inspect_job(admin, job_id), action))
        return await self.change_job(admin, job_id, action)
