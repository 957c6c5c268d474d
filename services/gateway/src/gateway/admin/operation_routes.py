"""Nodes, everybody's jobs, statistics and the audit log, for admins."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.credentials import Principal
from contracts.scheduler.job_actions import JobAction
from contracts.scheduler.jobs import JobStatus
from contracts.scheduler.nodes import LIST_NODES, MAX_GRACE_S, ListNodes, NodeAction
from gateway.admin.operation_requests import JobPatch
from gateway.admin.operation_schemas import (
    AdminJobsBody,
    AuditBody,
    DeadLettersBody,
    InspectedJobBody,
    NodeBody,
    NodesBody,
    StatsBody,
    present_dead_letter,
    present_entry,
    present_inspected,
    present_node,
    present_seen,
)
from gateway.admin.operations import AdminContext, Operations
from gateway.admin.search import Search
from gateway.admin.stats import StatsView
from gateway.api.v1.openapi import documented
from gateway.api.v1.problems import BODY, problems
from gateway.edge.access import Admin
from gateway.edge.json_body import read_model
from gateway.edge.request_body import json_body
from gateway.edge.timestamps import Bound
from gateway.jobs.routes import AFTER, BEFORE

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")]
Node = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="of any attempt")]
Action = Annotated[
    str | None, Query(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$", examples=["node.drain"], description="what was done")
]
Grace = Annotated[float, Query(ge=0, le=MAX_GRACE_S, allow_inf_nan=False, description="its job may run so long still")]


def acting(who: Principal, request: Request) -> AdminContext:
    """The admin of a request."""
    return AdminContext(who, request.state.client_ip)


def nodes_router(*, bus: Bus, operations: Operations, stats: StatsView) -> APIRouter:
    """The routes of nodes, and of how all is going."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/stats", summary="How the fleet does", responses=problems())
    async def read_stats(who: Admin) -> StatsBody:
        """Some seconds old at most, what is stored a minute."""
        return await stats.read(who.tenant)

    @routes.get("/nodes", summary="Every node, by name", responses=problems())
    async def nodes(who: Admin) -> NodesBody:
        found = (await bus.request(LIST_NODES, ListNodes(), tenant=who.tenant)).nodes
        return NodesBody(nodes=[present_node(node) for node in found])

    @routes.post("/nodes/refresh", summary="Read every node's classes and models again", responses=problems())
    async def refresh_all(who: Admin, request: Request) -> NodesBody:
        """Each node's executor does so within seconds."""
        return NodesBody(nodes=[present_node(one) for one in await operations.refresh_nodes(acting(who, request))])

    return routes


def node_orders_router(*, operations: Operations) -> APIRouter:
    """The routes of what is ordered of one node."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    async def order(who: AdminContext, node: str, wanted: NodeAction, grace_s: float = 0) -> NodeBody:
        stands = await operations.order_node(who, node, wanted, grace_s=grace_s)
        assert stands is not None  # noqa: S101 - only one that was forgotten is none
        return present_node(stands)

    @routes.post("/nodes/{node}/cordon", summary="Give a node no new work", responses=problems(404))
    async def cordon(who: Admin, node: str, request: Request) -> NodeBody:
        """What it runs goes on. Idempotent."""
        return await order(acting(who, request), node, NodeAction.CORDON)

    @routes.post("/nodes/{node}/uncordon", summary="Give a node work again", responses=problems(404))
    async def uncordon(who: Admin, node: str, request: Request) -> NodeBody:
        """Also ends a drain. Idempotent."""
        return await order(acting(who, request), node, NodeAction.UNCORDON)

    @routes.post("/nodes/{node}/drain", summary="Have a node's work go elsewhere", responses=problems(404, 422))
    async def drain(who: Admin, node: str, request: Request, grace_seconds: Grace = 0) -> NodeBody:
        """It gets no new work, and after the grace its job waits for another node, at no cost to its owner."""
        return await order(acting(who, request), node, NodeAction.DRAIN, grace_seconds)

    @routes.post("/nodes/{node}/clear", summary="Remove prompts of others from a node", responses=problems(404))
    async def clear(who: Admin, node: str, request: Request) -> NodeBody:
        """Removes foreign prompts from a node (see its ``occupied``). Jobs of this service are not touched.

        The node's executor does so within seconds; the answer is the node as it stands before. Where ``occupied.by`` is
        ``dead_worker``, ComfyUI has to be restarted.
        """
        return await order(acting(who, request), node, NodeAction.CLEAR)

    @routes.post("/nodes/{node}/refresh", summary="Read a node's classes and models again", responses=problems(404))
    async def refresh(who: Admin, node: str, request: Request) -> NodeBody:
        """Its executor does so within seconds. Model files that come or go are seen without this, too."""
        return await order(acting(who, request), node, NodeAction.REFRESH)

    @routes.delete("/nodes/{node}", status_code=204, summary="Forget a node that is gone", responses=problems(404, 409))
    async def forget(who: Admin, node: str, request: Request) -> Response:
        """One that comes back is new."""
        await operations.order_node(acting(who, request), node, NodeAction.FORGET)
        return Response(status_code=204)

    return routes


def search_router(*, search: Search, public_url: str) -> APIRouter:
    """The routes of what is looked for."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/jobs", summary="Everybody's jobs, newest first", responses=problems(422))
    async def jobs(
        who: Admin,
        request: Request,
        *,
        tenant: Annotated[UUID | None, Query(description="id of a user")] = None,
        status: Annotated[JobStatus | None, Query(description="only jobs of this status")] = None,
        node: Node = None,
        workflow: Annotated[str | None, Query(min_length=1, max_length=64, description="its name, or custom")] = None,
        created_after: Annotated[Bound | None, AFTER] = None,
        created_before: Annotated[Bound | None, BEFORE] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> AdminJobsBody:
        """Places in the queue are not told here; read the job."""
        found, next_cursor = await search.jobs(
            acting(who, request),
            limit=limit,
            cursor=cursor,
            status=status,
            tenant_id=tenant,
            node=node,
            workflow=workflow,
            created_after=created_after,
            created_before=created_before,
        )
        return AdminJobsBody(
            jobs=[present_seen(seen.job, seen.node, public_url) for seen in found], next_cursor=next_cursor
        )

    @routes.get("/audit", summary="The audit log, newest first", responses=problems(422))
    async def audit(
        who: Admin,
        request: Request,
        *,
        actor: Annotated[UUID | None, Query(description="id of who did it")] = None,
        subject: Annotated[UUID | None, Query(description="id of whose account it is about")] = None,
        action: Action = None,
        after: Annotated[Bound | None, Query(description="then or later")] = None,
        before: Annotated[Bound | None, Query(description="before then")] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> AuditBody:
        """That somebody looked is in it, too. ``python -m auth audit verify`` says if it is whole."""
        found, next_cursor = await search.audit(
            acting(who, request),
            limit=limit,
            cursor=cursor,
            actor_id=actor,
            subject_id=subject,
            action=action,
            after=after,
            before=before,
        )
        return AuditBody(audit=[present_entry(entry) for entry in found], next_cursor=next_cursor)

    @routes.get("/dead-letters", summary="Messages that could not be handled, newest first", responses=problems(422))
    async def dead_letters(
        who: Admin, request: Request, *, node: Node = None, limit: Limit = 20, cursor: Cursor = None
    ) -> DeadLettersBody:
        """What executors sent that can never be handled: unreadable, impossible to store, or meeting a bug.

        Kept for 14 days, 10,000 at most; those of a job are deleted with it.
        """
        found, next_cursor = await search.dead_letters(acting(who, request), limit=limit, cursor=cursor, node=node)
        return DeadLettersBody(dead_letters=[present_dead_letter(one) for one in found], next_cursor=next_cursor)

    return routes


def jobs_router(*, operations: Operations, public_url: str) -> APIRouter:
    """The routes of one job, whosever it is."""
    routes = APIRouter(prefix="/api/v1/admin/jobs", tags=["admin"])

    async def order(who: AdminContext, job_id: str, wanted: JobAction, priority: int | None = None) -> InspectedJobBody:
        job = await operations.order_job(who, job_id, wanted, priority=priority)
        return present_inspected(await operations.look(who, job.job_id), public_url)

    @routes.get("/{job_id}", summary="Read anybody's job, with its attempts", responses=problems(404))
    async def read(who: Admin, job_id: str, request: Request) -> InspectedJobBody:
        return present_inspected(await operations.inspect(acting(who, request), job_id), public_url)

    @routes.patch(
        "/{job_id}",
        summary="Change a job's priority",
        openapi_extra=documented(JobPatch, example={"priority": 50}),
        responses=problems(404, 409, *BODY),
    )
    async def change(
        who: Admin, job_id: str, body: Annotated[Any, Depends(json_body)], request: Request
    ) -> InspectedJobBody:
        """Among its owner's own jobs; how owners share the fleet is a matter of their tiers."""
        priority = read_model(JobPatch, body).priority
        return await order(acting(who, request), job_id, JobAction.PRIORITISE, priority)

    @routes.post("/{job_id}/cancel", summary="Cancel anybody's job", responses=problems(404))
    async def cancel(who: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """As its owner would. Idempotent."""
        return await order(acting(who, request), job_id, JobAction.CANCEL)

    @routes.post("/{job_id}/hold", summary="Keep a waiting job from being run", responses=problems(404, 409))
    async def hold(who: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """It stays pending, ``held`` is true, and it takes no place in the queue. Idempotent."""
        return await order(acting(who, request), job_id, JobAction.HOLD)

    @routes.post("/{job_id}/release", summary="Let a held job be run", responses=problems(404, 409))
    async def release(who: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """Idempotent."""
        return await order(acting(who, request), job_id, JobAction.RELEASE)

    @routes.post("/{job_id}/requeue", summary="Run a job anew", responses=problems(404, 409, 422, 429))
    async def requeue(who: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """One that runs is taken from its node and waits again.

        One that failed runs again as a new job of its owner, within the owner's limits, which ``retry_of`` tells; asked
        again, the answer is that same new job.
        """
        return await order(acting(who, request), job_id, JobAction.REQUEUE)

    return routes
