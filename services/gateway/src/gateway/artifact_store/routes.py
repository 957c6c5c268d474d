"""The artifact store, for admins: its state, and the deletion of many orphans."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gateway.admin.operation_routes import build_admin_context
from gateway.admin.operations import AdminActions
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.artifact_store.domain import compute_deletion_limit
from gateway.artifact_store.errors import OrphanCountDiffers, OrphansKept
from gateway.artifact_store.orphans import OrphanSweeper
from gateway.artifact_store.schemas import ArtifactStoreBody, DeleteOrphans, OrphansBody
from gateway.artifact_store.store import OrphanReport
from gateway.edge.access import Admin
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.storage.status import StoreStatus

Body = Annotated[Any, Depends(read_json_body)]


def create_router(*, status: StoreStatus, sweeper: OrphanSweeper, operations: AdminActions) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin/artifact-store", tags=["admin"])

    async def present() -> ArtifactStoreBody:
        report = await sweeper.read_report()
        return ArtifactStoreBody(
            pairing=status.pairing,
            reason=status.mismatch_reason or None,
            free_bytes=status.free_bytes,
            min_free_bytes=status.min_free_bytes,
            shortage=status.shortage or None,
            deletes_orphans=sweeper.rules.delete_orphans,
            orphans=_build_orphans_body(report) if report else None,
        )

    @routes.get("", summary="Read the state of the artifact store", responses=declare_problems())
    async def read_artifact_store(_: Admin) -> ArtifactStoreBody:
        """Whether the store is paired with the database, its free space, and objects without a record."""
        return await present()

    @routes.post(
        "/delete-orphans",
        summary="Confirm the deletion of many objects without a record",
        openapi_extra=describe_request_body(DeleteOrphans, example={"count": 1200}),
        responses=declare_problems(OrphansKept, OrphanCountDiffers, *JSON_BODY),
    )
    async def delete_orphans(principal: Admin, body: Body, request: Request) -> ArtifactStoreBody:
        """A sweep that finds more orphans than its limit deletes nothing. This lets one sweep delete ``count``.

        It begins within seconds. If it finds more than ``count``, it deletes nothing.
        """
        count = validate_model(DeleteOrphans, body).count
        await sweeper.check_deletion_count(count)
        await operations.record_action(build_admin_context(principal, request), "orphans.delete", count=count)
        await sweeper.approve_deletion(count)
        return await present()

    return routes


def _build_orphans_body(report: OrphanReport) -> OrphansBody:
    return OrphansBody(
        found_at=report.reported_at,
        objects=report.objects,
        count=report.orphans,
        bytes=report.orphan_bytes,
        sample=list(report.sample),
        limit=compute_deletion_limit(report.objects),
        confirmed=report.approved,
    )
