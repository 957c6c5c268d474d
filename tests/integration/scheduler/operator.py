"""An operator as the scheduler sees one: what the gateway says once it has had it recorded."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.operations import (
    INSPECT_JOB,
    LIST_NODES,
    ORDER_JOB,
    ORDER_NODE,
    READ_STATS,
    READ_USAGE,
    SEARCH_JOBS,
    InspectJob,
    JobInspected,
    JobOrder,
    ListNodes,
    NodeOrder,
    NodeStanding,
    OrderJob,
    OrderNode,
    ReadStats,
    ReadUsage,
    SearchJobs,
    SeenPage,
    Stats,
    UsageDay,
)
from contracts.scheduler import Job
from contracts.wire.topic import FLEET

ADMIN = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"


@dataclass(frozen=True)
class Operator:
    bus: Bus

    async def node(self, node: str | None, order: NodeOrder, grace_s: float = 0) -> NodeStanding | None:
        command = OrderNode(node=node, order=order, grace_s=grace_s)
        return (await self.bus.request(ORDER_NODE, command, tenant=ADMIN)).node

    async def nodes(self) -> dict[str, NodeStanding]:
        return {node.node: node for node in (await self.bus.request(LIST_NODES, ListNodes(), tenant=ADMIN)).nodes}

    async def job(self, job_id: UUID, order: JobOrder, **more: Any) -> Job:
        command = OrderJob(job_id=job_id, order=order, **({"retry_id": new_id()} | more))
        return (await self.bus.request(ORDER_JOB, command, tenant=ADMIN)).job

    async def search(self, **query: Any) -> SeenPage:
        return await self.bus.request(SEARCH_JOBS, SearchJobs(**query), tenant=ADMIN)

    async def found(self, **query: Any) -> list[UUID]:
        return [seen.job.job_id for seen in (await self.search(**query)).jobs]

    async def inspect(self, job_id: UUID) -> JobInspected:
        return await self.bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=ADMIN)

    async def stats(self) -> Stats:
        return await self.bus.request(READ_STATS, ReadStats(), tenant=ADMIN)

    async def usage(self, tenant: UUID | None, days: int = 90) -> tuple[UsageDay, ...]:
        whose = FLEET if tenant is None else str(tenant)
        return (await self.bus.request(READ_USAGE, ReadUsage(days=days), tenant=whose)).days
