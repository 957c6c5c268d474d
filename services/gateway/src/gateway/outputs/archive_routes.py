"""All outputs of a job in one file."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from chassis.messaging.bus import Bus
from gateway.api.v1.problems import problems
from gateway.edge.access import Reader
from gateway.edge.streaming import Streamed
from gateway.outputs.archive import find_archive, stream
from gateway.storage.artifacts import Artifacts
from gateway.storage.objects import Objects

_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "A ZIP file, streamed: without Content-Length and Range."}
}


def router(*, bus: Bus, artifacts: Artifacts, objects: Objects) -> APIRouter:
    """The route of the archive."""
    routes = APIRouter(tags=["results"])

    @routes.get(
        "/api/v1/jobs/{job_id}/outputs.zip",
        summary="All outputs of a completed job as one ZIP file",
        responses=_ZIP | problems(404, 409, 422),
        response_class=Response,
    )
    async def archive(
        tenant: Reader,
        job_id: str,
        *,
        temporary: Annotated[bool | None, Query(description="true: previews alone; false: no previews")] = None,
    ) -> Response:
        """The outputs as they are, without previews unless there is nothing else or `temporary` asks for them.

        If one cannot be read, the connection breaks off.
        """
        found = await find_archive(
            job_id, tenant=tenant, temporary=temporary, bus=bus, artifacts=artifacts, objects=objects
        )
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{job_id}.zip"',
            "Accept-Ranges": "none",
            "Cache-Control": "private, no-cache",
        }
        return Streamed(stream(found, objects), headers)

    return routes
