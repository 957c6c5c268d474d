"""What admins do to nodes and jobs. Auth writes it into the audit log first, or it is not done."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.auth.audit import RECORD_ACTION, RecordAction
from contracts.auth.credentials import Principal
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobAction, RunJobAction
from contracts.scheduler.jobs import FINAL_STATES, Job
from contracts.scheduler.nodes import (
    LIST_NODES,
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
from gateway.jobs.read import job_id_of
from gateway.jobs.submit import in_doubt

_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class AdminContext:
    """An admin who asks, and from where."""

    principal: Principal
    ip: str

    @property
    def tenant(self) -> str:
        """What stands in a subject for them."""
        return self.principal.tenant


class Operations:
    """Has things recorded and done.

    The log says what was wanted. Whether it could be done says the answer, and the log of the same request id.
    """

    def __init__(self, bus: Bus, pins: InputPins) -> None:
        self._bus, self._pins = bus, pins

    async def record(self, who: AdminContext, action: str, *, subject_id: UUID | None = None, **detail: Any) -> None:
        """Write it into the audit log.

        Raises:
            Relayed: who acts is no admin any more.
            Unavailable: auth is away, so it must not be done.
        """
        told = {name: value for name, value in detail.items() if value is not None}
        command = RecordAction(
            action=action, subject_id=subject_id, detail=told, key_id=who.principal.key_id, ip=who.ip
        )
        await self._bus.request(RECORD_ACTION, command, tenant=who.tenant)

    async def order_node(
        self, who: AdminContext, node: str, order: NodeAction, *, grace_s: float = 0
    ) -> NodeStatus | None:
        """The node as it stands then; None once it is forgotten.

        Raises:
            UnknownNode, Relayed: there is none of that name, or it cannot be done.
        """
        if not _NODE.fullmatch(node):
            raise UnknownNode
        grace = grace_s if order is NodeAction.DRAIN else None
        await self.record(who, f"node.{order}", node=node, grace_seconds=grace)
        command = RunNodeAction(node=node, order=order, grace_s=grace_s)
        return (await self._bus.request(RUN_NODE_ACTION, command, tenant=who.tenant)).node

    async def refresh_nodes(self, who: AdminContext) -> tuple[NodeStatus, ...]:
        """Refresh the catalogs of all nodes. Answers with the nodes as they are now."""
        await self.record(who, "nodes.refresh")
        await self._bus.request(RUN_NODE_ACTION, RunNodeAction(node=None, order=NodeAction.REFRESH), tenant=who.tenant)
        return (await self._bus.request(LIST_NODES, ListNodes(), tenant=who.tenant)).nodes

    async def inspect(self, who: AdminContext, text: str) -> JobWithAttempts:
        """Somebody's job; that it was looked at is recorded.

        Raises:
            UnknownJob, Relayed: there is none of that id.
        """
        found = await self._find(who, text)
        await self.record(who, "job.read", subject_id=found.job.tenant_id, job_id=str(found.job.job_id))
        return found

    async def order_job(self, who: AdminContext, text: str, order: JobAction, *, priority: int | None = None) -> Job:
        """The job as it stands then, or the new one that runs a failed one again.

        Raises:
            UnknownJob, Relayed: there is none of that id, or it cannot be done.
        """
        job = (await self._find(who, text)).job
        await self.record(who, f"job.{order}", subject_id=job.tenant_id, job_id=str(job.job_id), priority=priority)
        command = RunJobAction(job_id=job.job_id, order=order, priority=priority, retry_id=(retry_id := new_id()))
        if order is JobAction.REQUEUE and job.state in FINAL_STATES:
            return await self._repeated(who, job, command, retry_id)
        return (await self._bus.request(RUN_JOB_ACTION, command, tenant=who.tenant)).job

    async def _repeated(self, who: AdminContext, job: Job, command: RunJobAction, retry_id: UUID) -> Job:
        """The job that runs it again, with its uploads. A retry that will never be keeps none."""
        await self._pins.pin_again(str(job.tenant_id), job.job_id, retry_id)
        try:
            again = (await self._bus.request(RUN_JOB_ACTION, command, tenant=who.tenant)).job
        except Refusal as refusal:
            if not in_doubt(refusal):
                await self._pins.release(retry_id)
            raise
        if again.job_id != retry_id:  # it was run again before, and that job has pins of its own
            await self._pins.release(retry_id)
        return again

    async def look(self, who: AdminContext, job_id: UUID) -> JobWithAttempts:
        """How a job stands with which something was done, which is recorded already."""
        return await self._bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=who.tenant)

    async def _find(self, who: AdminContext, text: str) -> JobWithAttempts:
        return await self.look(who, job_id_of(text))
