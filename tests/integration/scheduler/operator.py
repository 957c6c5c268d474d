"""Sends an operator's requests to the scheduler, as the gateway does."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.preview import Effect
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobAction, RunJobAction
from contracts.scheduler.jobs import Job
from contracts.scheduler.nodes import (
    LIST_NODES,
    PREVIEW_NODE_ACTION,
    RUN_NODE_ACTION,
    ListNodes,
    NodeAction,
    NodeStatus,
    RunNodeAction,
)
from contracts.scheduler.queue import READ_QUEUE, Queue, ReadQueue
from contracts.scheduler.search import INSPECT_JOB, SEARCH_JOBS, AdminJobPage, InspectJob, JobWithAttempts, SearchJobs
from contracts.scheduler.statistics import READ_STATS, ReadStats, Stats
from contracts.scheduler.trends import READ_TRENDS, ReadTrends, Trends
from contracts.scheduler.usage import READ_DAILY_USAGE, ReadDailyUsage, UsageDay
from contracts.wire.topic import FLEET
from tests.kit.waiting import until

ADMIN = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"


@dataclass(frozen=True)
class Operator:
    bus: Bus

    async def node(self, node: str | None, order: NodeAction, grace_s: float = 0) -> NodeStatus | None:
        command = RunNodeAction(node=node, order=order, grace_s=grace_s)
        return (await self.bus.request(RUN_NODE_ACTION, command, tenant=ADMIN)).node

    async def preview(self, node: str, order: NodeAction, grace_s: float = 0) -> dict[str, Effect]:
        """Preview an action on a node; return its predicted effects by code."""
        command = RunNodeAction(node=node, order=order, grace_s=grace_s)
        preview = await self.bus.request(PREVIEW_NODE_ACTION, command, tenant=ADMIN)
        return {effect.code: effect for effect in preview.effects}

    async def nodes(self) -> dict[str, NodeStatus]:
        return {node.node: node for node in (await self.bus.request(LIST_NODES, ListNodes(), tenant=ADMIN)).nodes}

    async def job(self, job_id: UUID, order: JobAction, **more: Any) -> Job:
        command = RunJobAction(job_id=job_id, order=order, **({"retry_id": new_id()} | more))
        return (await self.bus.request(RUN_JOB_ACTION, command, tenant=ADMIN)).job

    async def search(self, **query: Any) -> AdminJobPage:
        return await self.bus.request(SEARCH_JOBS, SearchJobs(**query), tenant=ADMIN)

    async def found(self, **query: Any) -> list[UUID]:
        return [seen.job.job_id for seen in (await self.search(**query)).jobs]

    async def inspect(self, job_id: UUID) -> JobWithAttempts:
        return await self.bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=ADMIN)

    async def stats(self) -> Stats:
        return await self.bus.request(READ_STATS, ReadStats(), tenant=ADMIN)

    async def read_new_stats(self) -> Stats:
        """Wait until statistics, which are cached for some seconds, are computed again; return them."""
        found = [await self.stats()]

        async def is_new() -> bool:
            found.append(await self.stats())
            return found[-1].at > found[0].at

        await until(is_new)
        return found[-1]

    async def queue(self, **query: Any) -> Queue:
        return await self.bus.request(READ_QUEUE, ReadQueue(**query), tenant=ADMIN)

    async def trends(self, **query: Any) -> Trends:
        return await self.bus.request(READ_TRENDS, ReadTrends(**query), tenant=ADMIN)

    async def usage(self, tenant: UUID | None, days: int = 90) -> tuple[UsageDay, ...]:
        whose = FLEET if tenant is None else str(tenant)
        return (await self.bus.request(READ_DAILY_USAGE, ReadDailyUsage(days=days), tenant=whose)).days
