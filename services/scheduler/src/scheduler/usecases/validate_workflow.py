"""Validates a workflow as a submit would, without creating a job."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.offload import offload
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import (
    InvalidWorkflow,
    RandomInput,
    RunTimeTooLong,
    StartTimeTooLong,
    SubmitJob,
    ValidationReply,
)
from contracts.wire.errors import FieldError, Refusal
from contracts.workflow import is_ui_format
from scheduler.domain.admission import PendingSubmission, TenantAdmission
from scheduler.domain.fleet_check import drop_node_pointers
from scheduler.domain.notices import list_notices
from scheduler.store import submits
from scheduler.usecases.check_workflow import WorkflowChecker
from scheduler.usecases.tenant_limits import TenantLimits


class WorkflowValidator:
    """Validates workflows. Reserves and writes nothing."""

    def __init__(self, database: Database, *, limits: TenantLimits, checker: WorkflowChecker) -> None:
        self._database, self._limits, self._checker = database, limits, checker

    async def validate_workflow(self, tenant_id: UUID, command: SubmitJob, *, size_bytes: int) -> ValidationReply:
        """Return the errors and warnings that a submit would get now.

        Raises:
            EmptyFleet: no node has ever joined.
            UnknownTenant, Unavailable: see ``TenantLimits.refresh_limits``.
        """
        limits = await self._limits.refresh_limits(tenant_id)
        try:
            checked = await self._checker.check_workflow(command, limits, size_bytes=size_bytes)
        except InvalidWorkflow as refusal:
            return ValidationReply(errors=refusal.details.errors)
        except StartTimeTooLong as refusal:
            return ValidationReply(errors=(_to_field_error(refusal, "/start_within_seconds"),))
        except RunTimeTooLong as refusal:
            return ValidationReply(errors=(_to_field_error(refusal, "/run_within_seconds"),))
        notices = await offload(list_notices, checked.submitted_graph, checked.runnable)
        if is_ui_format(command.graph):
            notices = drop_node_pointers(notices)
        reached = await self._find_reached_limit(PendingSubmission(tenant_id, command, images=checked.images))
        return ValidationReply(
            warnings=(*((_to_field_error(reached),) if reached else ()), *notices),
            images=checked.images,
            random_seeds=tuple(RandomInput(node_id=seed.node_id, input=seed.input) for seed in checked.seeds),
        )

    async def _find_reached_limit(self, submission: PendingSubmission) -> Refusal | None:
        """Return the limit that would refuse a submission now. Read without a lock, so it may change at any time."""
        async with self._database.connection() as connection:
            found = await submits.load_admission_facts(connection, [submission])
        if not found:
            raise UnknownTenant
        refusal = TenantAdmission(found[0][0]).find_refusal(submission)
        if isinstance(refusal, UnknownTenant):
            raise refusal
        return refusal


def _to_field_error(refusal: Refusal, pointer: str = "") -> FieldError:
    return FieldError(pointer=pointer, code=refusal.code, message=refusal.details.message)
