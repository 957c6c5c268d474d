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
        self, admin: AdminContext, action: str, *, subject_id: UUID | None = None, **detail: Any
    ) -> None:
        """Write an action to the audit log.

        Raises:
            RelayedRefusal: MissingScope, the user is no longer an admin.
            Unavailable: auth is unavailable, so the action must not be performed.
        """
        known_details = {name: value for name, value in detail.items() if value is not None}
        command = RecordAction(
            action=action, subject_id=subject_id, detail=known_details, key_id=admin.principal.key_id, ip=admin.ip
        )
        await self._bus.request(RECORD_ACTION, command, tenant=admin.tenant)

    async def run_node_action(
        self, admin: AdminContext, node: str, action: NodeAction, *, grace_s: float = 0
    ) -> NodeStatus | None:
        """Change a node and return it, or None if it was removed.

        Raises:
            UnknownNode: the text is not a valid node name.
            RelayedRefusal: the scheduler does not know the node, or its state does not permit the action; or as for
                ``record_action``.
            Unavailable: auth or the scheduler does not answer.
        """
        if not _NODE.fullmatch(node):
            raise UnknownNode
        grace = grace_s if action is NodeAction.DRAIN else None
        await self.record_action(admin, f"node.{action}", node=node, grace_seconds=grace)
        command = RunNodeAction(node=node, order=action, grace_s=grace_s)
        return (await self._bus.request(RUN_NODE_ACTION, command, tenant=admin.tenant)).node

    async def preview_node_action(
        self, admin: AdminContext, node: str, action: NodeAction, *, grace_s: float = 0
    ) -> Preview:
        """Return what an action on a node would do (dry run). Not in the audit log, because it changes nothing.

        Raises:
            UnknownNode: the text is not a valid node name.
            RelayedRefusal: the scheduler does not know the node, or its state does not permit the action.
            Unavailable: the scheduler does not answer.
        """
        if not _NODE.fullmatch(node):
            raise UnknownNode
        command = RunNodeAction(node=node, order=action, grace_s=grace_s)
        return await self._bus.request(PREVIEW_NODE_ACTION, command, tenant=admin.tenant)

    async def refresh_nodes(self, admin: AdminContext) -> tuple[NodeStatus, ...]:
        """Request a refresh of the catalogs of all nodes. Return the nodes as they are now."""
        await self.record_action(admin, "nodes.refresh")
        await self._bus.request(
            RUN_NODE_ACTION, RunNodeAction(node=None, order=NodeAction.REFRESH), tenant=admin.tenant
        )
        return (await self._bus.request(LIST_NODES, ListNodes(), tenant=admin.tenant)).nodes

    async def inspect_job(self, admin: AdminContext, text: str) -> JobWithAttempts:
        """Return a job of any user, and record in the audit log that it was read.

        Raises:
            UnknownJob: the text is not a job id.
            RelayedRefusal: the scheduler does not know the job; or as for ``record_action``.
            Unavailable: auth or the scheduler does not answer.
        """
        found = await self._find_job(admin, text)
        await self.record_action(admin, "job.read", subject_id=found.job.tenant_id, job_id=str(found.job.job_id))
        return found

    async def run_job_action(
        self, admin: AdminContext, text: str, action: JobAction, *, priority: int | None = None
    ) -> Job:
        """Change a job and return it, or the new job that runs a failed one again.

        Raises:
            UnknownJob: the text is not a job id.
            RelayedRefusal: the scheduler does not know the job, or its state does not permit the action; or as for
                ``record_action``.
            Unavailable: auth, the scheduler or the database is unavailable.
        """
        job = (await self._find_job(admin, text)).job
        await self.record_action(
            admin, f"job.{action}", subject_id=job.tenant_id, job_id=str(job.job_id), priority=priority
        )
        command = RunJobAction(job_id=job.job_id, order=action, priority=priority, retry_id=(retry_id := new_id()))
        if action is JobAction.REQUEUE and job.state in FINAL_STATES:
            return await self._run_failed_job_again(admin, job, command, retry_id)
        return (await self._bus.request(RUN_JOB_ACTION, command, tenant=admin.tenant)).job

    async def _run_failed_job_again(self, admin: AdminContext, job: Job, command: RunJobAction, retry_id: UUID) -> Job:
        """Return the new job that runs a failed one again, with the same uploads. A refused one pins none."""
        await self._pins.copy_pins(str(job.tenant_id), job.job_id, retry_id)
        try:
            new_job = (await self._bus.request(RUN_JOB_ACTION, command, tenant=admin.tenant)).job
        except Refusal as refusal:
            if not may_be_committed(refusal):
                await self._pins.unpin_uploads(retry_id)
            raise
        if new_job.job_id != retry_id:  # an earlier request ran it again, and that job has its own pins
            await self._pins.unpin_uploads(retry_id)
        return new_job

    async def read_job(self, admin: AdminContext, job_id: UUID) -> JobWithAttempts:
        """Return a job of any user after an admin action. The audit log has the action, so this read adds no entry."""
        return await self._bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=admin.tenant)

    async def _find_job(self, admin: AdminContext, text: str) -> JobWithAttempts:
        return await self.read_job(admin, parse_job_id(text))
