"""Nodes, jobs of all users, statistics and the audit log, for admins."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.credentials import Principal
from contracts.scheduler.job_actions import JobAction, JobHasEnded, JobNotRepeatable, JobNotWaiting
from contracts.scheduler.jobs import JobStatus, UnknownJob
from contracts.scheduler.nodes import LIST_NODES, MAX_GRACE_S, ListNodes, NodeAction, NodeAlive, UnknownNode
from gateway.admin.dry_run import DryRun, DryRunBody
from gateway.admin.job_actions import JobActionService
from gateway.admin.node_actions import NodeActionService
from gateway.admin.operation_requests import JobPatch
from gateway.admin.operation_schemas import (
    AdminJobsBody,
    AuditBody,
    InspectedJobBody,
    NodeBody,
    NodesBody,
    StatsBody,
    build_admin_job_body,
    build_audit_entry_body,
    build_inspected_job_body,
)
from gateway.admin.operations import AdminActions, AdminContext
from gateway.admin.search import AdminSearch
from gateway.admin.stats import StatsView
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Admin
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.edge.timestamps import QueryTimestamp
from gateway.jobs.errors import ADMISSION_PROBLEMS
from gateway.jobs.routes import CREATED_AFTER, CREATED_BEFORE

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")]
Node = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="only jobs with an attempt on this node")
]
Action = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$", examples=["node.drain"], description="only entries with this action"
    ),
]
Grace = Annotated[
    float,
    Query(
        ge=0, le=MAX_GRACE_S, allow_inf_nan=False, description="seconds that the node's current job may keep running"
    ),
]
DRY_RUN: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRunBody, "description": "What the action would do, if `dry_run` is true"}
}


def build_admin_context(principal: Principal, request: Request) -> AdminContext:
    """Return the admin who sends the request."""
    return AdminContext(principal, request.state.client_ip)


def create_nodes_router(
    *, bus: Bus, operations: AdminActions, stats: StatsView, node_actions: NodeActionService
) -> APIRouter:
    """Return the routes of nodes and statistics."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/stats", summary="Read the statistics of the fleet", responses=declare_problems())
    async def read_stats(principal: Admin) -> StatsBody:
        """Cached: job counts up to 2 s, storage totals up to 60 s."""
        return await stats.read_stats(principal.tenant)

    @routes.get("/nodes", summary="List nodes by name", responses=declare_problems())
    async def list_nodes(principal: Admin) -> NodesBody:
        """What each node runs, its models, memory, versions and last faults."""
        found = (await bus.request(LIST_NODES, ListNodes(), tenant=principal.tenant)).nodes
        return NodesBody(nodes=await node_actions.build_node_bodies(found, admin=principal.tenant))

    @routes.post("/nodes/refresh", summary="Refresh the classes and models of all nodes", responses=declare_problems())
    async def refresh_all_nodes(principal: Admin, request: Request) -> NodesBody:
        """Each node's executor reads classes and models again within seconds."""
        found = await operations.refresh_nodes(build_admin_context(principal, request))
        return NodesBody(nodes=await node_actions.build_node_bodies(found, admin=principal.tenant))

    return routes


def create_node_actions_router(*, node_actions: NodeActionService) -> APIRouter:
    """Return the routes that change one node."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.post(
        "/nodes/{node}/cordon", summary="Cordon a node: it gets no new jobs", responses=declare_problems(UnknownNode)
    )
    async def cordon_node(
        principal: Admin, node: str, request: Request, *, dry_run: DryRun = False
    ) -> NodeBody | DryRunBody:
        """The node's current job continues. Idempotent."""
        admin = build_admin_context(principal, request)
        return await node_actions.change_or_preview(admin, node, NodeAction.CORDON, dry_run=dry_run)

    @routes.post(
        "/nodes/{node}/uncordon", summary="Uncordon a node: it gets jobs again", responses=declare_problems(UnknownNode)
    )
    async def uncordon_node(principal: Admin, node: str, request: Request) -> NodeBody:
        """Also ends a drain. Idempotent."""
        return await node_actions.change_node(build_admin_context(principal, request), node, NodeAction.UNCORDON)

    @routes.post(
        "/nodes/{node}/drain",
        summary="Drain a node: its jobs move to other nodes",
        responses=declare_problems(UnknownNode),
    )
    async def drain_node(
        principal: Admin, node: str, request: Request, *, grace_seconds: Grace = 0, dry_run: DryRun = False
    ) -> NodeBody | DryRunBody:
        """The node gets no new jobs.

        After the grace period its job is queued for another node, without using up an attempt.
        """
        admin = build_admin_context(principal, request)
        return await node_actions.change_or_preview(
            admin, node, NodeAction.DRAIN, dry_run=dry_run, grace_s=grace_seconds
        )

    @routes.post(
        "/nodes/{node}/clear", summary="Clear foreign prompts from a node", responses=declare_problems(UnknownNode)
    )
    async def clear_node(
        principal: Admin, node: str, request: Request, *, dry_run: DryRun = False
    ) -> NodeBody | DryRunBody:
        """Removes foreign prompts from a node (see its ``occupied``). Jobs of this service are not touched.

        The node's executor does it within seconds; the response is the node before that. Where ``occupied.by`` is
        ``dead_worker``, restart ComfyUI instead.
        """
        admin = build_admin_context(principal, request)
        return await node_actions.change_or_preview(admin, node, NodeAction.CLEAR, dry_run=dry_run)

    @routes.post(
        "/nodes/{node}/refresh",
        summary="Refresh the classes and models of a node",
        responses=declare_problems(UnknownNode),
    )
    async def refresh_node(principal: Admin, node: str, request: Request) -> NodeBody:
        """The node's executor reads classes and models again within seconds.

        New and removed model files are noticed without this request, too.
        """
        return await node_actions.change_node(build_admin_context(principal, request), node, NodeAction.REFRESH)

    @routes.delete(
        "/nodes/{node}",
        status_code=204,
        summary="Remove a node that no longer exists",
        responses=declare_problems(UnknownNode, NodeAlive) | DRY_RUN,
    )
    async def remove_node(principal: Admin, node: str, request: Request, *, dry_run: DryRun = False) -> Response:
        """A node that comes back counts as new."""
        preview = await node_actions.forget_node(build_admin_context(principal, request), node, dry_run=dry_run)
        if preview is not None:
            return Response(preview.model_dump_json(), media_type="application/json")
        return Response(status_code=204)

    return routes


def create_search_router(*, search: AdminSearch, public_url: str) -> APIRouter:
    """Return the routes of searches."""
    routes = APIRouter(prefix="/api/v1/admin", tags=["admin"])

    @routes.get("/jobs", summary="List jobs of all users, newest first", responses=declare_problems(BadCursor))
    async def list_all_jobs(
        principal: Admin,
        request: Request,
        *,
        tenant: Annotated[UUID | None, Query(description="only jobs of the user with this id")] = None,
        status: Annotated[JobStatus | None, Query(description="only jobs of this status")] = None,
        node: Node = None,
        workflow: Annotated[
            str | None, Query(min_length=1, max_length=64, description="name of the workflow; custom for graphs")
        ] = None,
        created_after: Annotated[QueryTimestamp | None, CREATED_AFTER] = None,
        created_before: Annotated[QueryTimestamp | None, CREATED_BEFORE] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> AdminJobsBody:
        """Queue positions are null here; read a single job for its position."""
        found, next_cursor = await search.search_jobs(
            build_admin_context(principal, request),
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
            jobs=[build_admin_job_body(seen.job, seen.node, public_url) for seen in found], next_cursor=next_cursor
        )

    @routes.get("/audit", summary="List the audit log, newest first", responses=declare_problems(BadCursor))
    async def list_audit_entries(
        principal: Admin,
        request: Request,
        *,
        actor: Annotated[UUID | None, Query(description="only entries of the user with this id")] = None,
        subject: Annotated[UUID | None, Query(description="only entries about the user with this id")] = None,
        action: Action = None,
        after: Annotated[QueryTimestamp | None, Query(description="only entries at or after this time")] = None,
        before: Annotated[QueryTimestamp | None, Query(description="only entries before this time")] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> AuditBody:
        """Reading the log is recorded in it, too. ``python -m auth audit verify`` checks its integrity."""
        found, next_cursor = await search.search_audit_log(
            build_admin_context(principal, request),
            limit=limit,
            cursor=cursor,
            actor_id=actor,
            subject_id=subject,
            action=action,
            after=after,
            before=before,
        )
        return AuditBody(audit=[build_audit_entry_body(entry) for entry in found], next_cursor=next_cursor)

    return routes


def create_jobs_router(*, operations: AdminActions, public_url: str) -> APIRouter:
    """Return the routes of one job of any user."""
    routes = APIRouter(prefix="/api/v1/admin/jobs", tags=["admin"])
    job_actions = JobActionService(operations, public_url)

    @routes.get(
        "/{job_id}", summary="Read a job of any user, with its attempts", responses=declare_problems(UnknownJob)
    )
    async def read_any_job(principal: Admin, job_id: str, request: Request) -> InspectedJobBody:
        return build_inspected_job_body(
            await operations.inspect_job(build_admin_context(principal, request), job_id), public_url
        )

    @routes.patch(
        "/{job_id}",
        summary="Change a job's priority",
        openapi_extra=describe_request_body(JobPatch, example={"priority": 50}),
        responses=declare_problems(UnknownJob, JobHasEnded, *JSON_BODY),
    )
    async def change_job_priority(
        principal: Admin, job_id: str, body: Annotated[Any, Depends(read_json_body)], request: Request
    ) -> InspectedJobBody:
        """The priority orders the jobs of one owner. Tiers decide how owners share the fleet."""
        priority = validate_model(JobPatch, body).priority
        admin = build_admin_context(principal, request)
        return await job_actions.change_job(admin, job_id, JobAction.PRIORITISE, priority=priority)

    @routes.post("/{job_id}/cancel", summary="Cancel a job of any user", responses=declare_problems(UnknownJob))
    async def cancel_any_job(
        principal: Admin, job_id: str, request: Request, *, dry_run: DryRun = False
    ) -> InspectedJobBody | DryRunBody:
        """Same as a cancellation by the owner. Idempotent."""
        return await job_actions.change_or_preview(
            build_admin_context(principal, request), job_id, JobAction.CANCEL, dry_run=dry_run
        )

    @routes.post(
        "/{job_id}/hold",
        summary="Hold a pending job",
        responses=declare_problems(UnknownJob, JobHasEnded, JobNotWaiting),
    )
    async def hold_job(principal: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """The job stays pending with ``held`` true, and leaves the queue. Idempotent."""
        return await job_actions.change_job(build_admin_context(principal, request), job_id, JobAction.HOLD)

    @routes.post("/{job_id}/release", summary="Release a held job", responses=declare_problems(UnknownJob, JobHasEnded))
    async def release_job(principal: Admin, job_id: str, request: Request) -> InspectedJobBody:
        """Idempotent."""
        return await job_actions.change_job(build_admin_context(principal, request), job_id, JobAction.RELEASE)

    @routes.post(
        "/{job_id}/requeue",
        summary="Requeue a running job, or run a failed one again",
        responses=declare_problems(UnknownJob, JobNotRepeatable, *ADMISSION_PROBLEMS),
    )
    async def requeue_job(
        principal: Admin, job_id: str, request: Request, *, dry_run: DryRun = False
    ) -> InspectedJobBody | DryRunBody:
        """A running job is taken from its node and queued again.

        A failed job is run again as a new job of its owner, within the owner's limits; ``retry_of`` of the new job
        names the failed one. Repeating the request returns the same new job.
        """
        return await job_actions.change_or_preview(
            build_admin_context(principal, request), job_id, JobAction.REQUEUE, dry_run=dry_run
        )

    return routes
