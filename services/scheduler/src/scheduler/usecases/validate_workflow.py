"""Tell what a submit would be told, without making a job."""

from uuid import UUID

from chassis.offload import offload
from chassis.postgres import Database
from contracts.auth import UnknownTenant
from contracts.scheduler import InvalidWorkflow, RandomInput, RunTimeTooLong, SubmitJob, Validated
from contracts.wire.errors import FieldError, Refusal
from scheduler.domain.admission import Candidate, Ledger
from scheduler.domain.notices import notices_of
from scheduler.store import submits
from scheduler.usecases.examine_workflow import WorkflowExaminer
from scheduler.usecases.tenant_limits import TenantLimits


class WorkflowValidator:
    """Examines workflows as a submit does. Reserves and writes nothing."""

    def __init__(self, database: Database, *, limits: TenantLimits, examiner: WorkflowExaminer) -> None:
        self._database, self._limits, self._examiner = database, limits, examiner

    async def validate(self, tenant_id: UUID, command: SubmitJob, *, size_bytes: int) -> Validated:
        """What a submit would be told now.

        Raises:
            NoFleet: no node has ever joined, so nobody can say.
            UnknownTenant, Unavailable: see ``TenantLimits.refresh``.
        """
        limits = await self._limits.refresh(tenant_id)
        try:
            examined = await self._examiner.examine(command, limits, size_bytes=size_bytes)
        except InvalidWorkflow as refusal:
            return Validated(errors=refusal.refused.errors)
        except RunTimeTooLong as refusal:
            return Validated(errors=(_error_of(refusal, "/run_within_seconds"),))
        notices = await offload(notices_of, examined.sent, examined.found)
        reached = await self._limit_reached(tenant_id, command, examined.images)
        return Validated(
            warnings=(*((_error_of(reached),) if reached else ()), *notices),
            images=examined.images,
            random_seeds=tuple(RandomInput(node_id=one.node_id, input=one.input) for one in examined.seeds),
        )

    async def _limit_reached(self, tenant_id: UUID, command: SubmitJob, images: int) -> Refusal | None:
        """Which limit would refuse a submit now. Read without a lock: the next submit may find it otherwise."""
        async with self._database.single() as connection:
            found = await submits.facts(connection, [Candidate(tenant_id, command)])
        if not found:
            raise UnknownTenant
        account, _ = found[0]
        refusal = Ledger(account).refusal(images)
        if isinstance(refusal, UnknownTenant):
            raise refusal
        return refusal


def _error_of(refusal: Refusal, pointer: str = "") -> FieldError:
    return FieldError(pointer=pointer, code=refusal.code, message=refusal.refused.message)
