"""Actions of admins on nodes and jobs. An action is performed only after auth has written it to the audit log."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.auth.audit import RECORD_ACTION, RecordAction
from contracts.auth.credentials import Principal
from contracts.preview import Preview
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobAction, RunJobAction
from contracts.scheduler.jobs import FINAL_STATES, Job
from contracts.scheduler.nodes import (
    LIST_NODES,
    PREVIEW_NODE_ACTION,
    RUN_NODE_ACTION,
    ListNodes,
    NodeAction,
    NodeStatus,
    RunNodeAction,
    UnknownNode,
)
from contracts.scheduler.search import INSPECT_JOB, InspectJob, JobWithAttempts
from contracts.wire.errors import Refusal
from gateway.jobs.input_pins import InputPins
from gateway.jobs.service import parse_job_id
from gateway.jobs.submit import may_be_committed

_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class AdminContext:
    """The admin who sends a request, and the client's address."""

    principal: Principal
    ip: str

    @property
    def tenant(self) -> str:
        """The admin's tenant token in NATS subjects."""
        return self.principal.tenant


class AdminActions:
    """Records and performs the actions of admins.

    The audit log says what was requested. The response, and the service log of the same request id, say whether it
    worked.
    """

    def __init__(self, bus: Bus, pins: InputPins) -> None:
        self._bus, self._pins = bus, pins

    async def record_action(
        self, who: AdminContext, action: str, *, subject_id: UUID | None = None, **detail: Any
    ) -> None:
        """Write an action to the audit log.

        Raises:
            RelayedRefusal: MissingScope, the user is no longer an admin.
            Unavailable: auth is unavailable, so the action must not be performed.
        """
        set_details = {name: value for name, value in detail.items() if value is not None}
        command = RecordAction(
            action=action, subject_id=subject_id, detail=set_details, key_id=who.principal.key_id, ip=who.ip
        )
        await self._bus.request(RECORD_ACTION, command, tenant=who.tenant)

    async def run_node_action(
        self, who: AdminContext, node: str, order: NodeAction, *, grace_s: float = 0
    ) -> NodeStatus | None:
        """Change a node; the node as it is afterwards, or None once it is forgotten.

        Raises:
            UnknownNode, RelayedRefusal: there is no such node, or its state does not permit this.
        """
        if not _NODE.fullmatch(node):
            raise UnknownNode
        grace = grace_s if order is NodeAction.DRAIN else None
        await self.record_action(who, f"node.{order}", node=node, grace_seconds=grace)
        command = RunNodeAction(node=node, order=order, grace_s=grace_s)
        return (await self._bus.request(RUN_NODE_ACTION, command, tenant=who.tenant)).node

    async def preview_node_action(
        self, who: AdminContext, node: str, order: NodeAction, *, grace_s: float = 0
    ) -> Preview:
        """Return what a change of a node would do. Not recorded: nothing happens.

        Raises:
            UnknownNode, RelayedRefusal: there is no such node, or its state does not permit this.
        """
        if not _NODE.fullmatch(node):
            raise UnknownNode
        command = RunNodeAction(node=node, order=order, grace_s=grace_s)
        return await self._bus.request(PREVIEW_NODE_ACTION, command, tenant=who.tenant)

    async def refresh_nodes(self, who: AdminContext) -> tuple[NodeStatus, ...]:
        """Refresh the catalogs of all nodes; the nodes as they are before that."""
        await self.record_action(who, "nodes.refresh")
        await self._bus.request(RUN_NODE_ACTION, RunNodeAction(node=None, order=NodeAction.REFRESH), tenant=who.tenant)
        return (await self._bus.request(LIST_NODES, ListNodes(), tenant=who.tenant)).nodes

    async def inspect_job(self, who: AdminContext, text: str) -> JobWithAttempts:
        """Return a job of any user. Reading it is recorded.

        Raises:
            UnknownJob, RelayedRefusal: there is no such job.
        """
        found = await self._find_job(who, text)
        await self.record_action(who, "job.read", subject_id=found.job.tenant_id, job_id=str(found.job.job_id))
        return found

    async def run_job_action(
        self, who: AdminContext, text: str, order: JobAction, *, priority: int | None = None
    ) -> Job:
        """Change a job; the job as it is afterwards, or the new job that runs a failed one again.

        Raises:
            UnknownJob, RelayedRefusal: there is no such job, or its state does not permit this.
        """
        job = (await self._find_job(who, text)).job
        await self.record_action(
            who, f"job.{order}", subject_id=job.tenant_id, job_id=str(job.job_id), priority=priority
        )
        command = RunJobAction(job_id=job.job_id, order=order, priority=priority, retry_id=(retry_id := new_id()))
        if order is JobAction.REQUEUE and job.state in FINAL_STATES:
            return await self._run_failed_job_again(who, job, command, retry_id)
        return (await self._bus.request(RUN_JOB_ACTION, command, tenant=who.tenant)).job

    async def _run_failed_job_again(self, who: AdminContext, job: Job, command: RunJobAction, retry_id: UUID) -> Job:
        """Return the new job that runs a failed one again, with the same uploads. A refused one pins none."""
        await self._pins.copy_pins(str(job.tenant_id), job.job_id, retry_id)
        try:
            again = (await self._bus.request(RUN_JOB_ACTION, command, tenant=who.tenant)).job
        except Refusal as refusal:
            if not may_be_committed(refusal):
                await self._pins.unpin_uploads(retry_id)
            raise
        if again.job_id != retry_id:  # it was already run again, and that job has pins of its own
            await self._pins.unpin_uploads(retry_id)
        return again

    async def read_job(self, who: AdminContext, job_id: UUID) -> JobWithAttempts:
        """Return a job of any user after an admin action. The audit log has the action, so this read adds no entry."""
        return await self._bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=who.tenant)

    async def _find_job(self, who: AdminContext, text: str) -> JobWithAttempts:
        return await self.read_job(who, parse_job_id(text))
