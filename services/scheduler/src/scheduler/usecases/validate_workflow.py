"""Answer as a submit would, without creating a job."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.offload import offload
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import InvalidWorkflow, RandomInput, RunTimeTooLong, SubmitJob, ValidationReply
from contracts.wire.errors import FieldError, Refusal
from contracts.workflow import is_ui_format
from scheduler.domain.admission import Candidate, Ledger
from scheduler.domain.fleet_check import without_places
from scheduler.domain.notices import notices_of
from scheduler.store import submits
from scheduler.usecases.examine_workflow import WorkflowExaminer
from scheduler.usecases.tenant_limits import TenantLimits


class WorkflowValidator:
    """Validates workflows as a submit does. Reserves and writes nothing."""

    def __init__(self, database: Database, *, limits: TenantLimits, examiner: WorkflowExaminer) -> None:
        self._database, self._limits, self._examiner = database, limits, examiner

    async def validate(self, tenant_id: UUID, command: SubmitJob, *, size_bytes: int) -> ValidationReply:
        """What a submit would be told now.

        Raises:
            EmptyFleet: no node has ever joined, so nobody can say.
            UnknownTenant, Unavailable: see ``TenantLimits.refresh``.
        """
        limits = await self._limits.refresh(tenant_id)
        try:
            examined = await self._examiner.examine(command, limits, size_bytes=size_bytes)
        except InvalidWorkflow as refusal:
            return ValidationReply(errors=refusal.refused.errors)
        except RunTimeTooLong as refusal:
            return ValidationReply(errors=(_error_of(refusal, "/run_within_seconds"),))
        notices = await offload(notices_of, examined.sent, examined.found)
        if is_ui_format(command.graph):
            notices = without_places(notices)
        reached = await self._limit_reached(Candidate(tenant_id, command, images=examined.images))
        return ValidationReply(
            warnings=(*((_error_of(reached),) if reached else ()), *notices),
            images=examined.images,
            random_seeds=tuple(RandomInput(node_id=one.node_id, input=one.input) for one in examined.seeds),
        )

    async def _limit_reached(self, candidate: Candidate) -> Refusal | None:
        """Which limit would refuse a submit now. Read without a lock: the next submit may find it otherwise."""
        async with self._database.single() as connection:
            found = await submits.facts(connection, [candidate])
        if not found:
            raise UnknownTenant
        account, _ = found[0]
        refusal = Ledger(account).refusal(candidate)
        if isinstance(refusal, UnknownTenant):
            raise refusal
        return refusal


def _error_of(refusal: Refusal, pointer: str = "") -> FieldError:
    return FieldError(pointer=pointer, code=refusal.code, message=refusal.refused.message)
