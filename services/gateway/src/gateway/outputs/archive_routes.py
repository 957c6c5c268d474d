"""All outputs of a job in one ZIP file."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from contracts.gateway.outputs import JobNotFinished, UnknownOutput
from contracts.scheduler.jobs import UnknownJob
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader
from gateway.edge.streaming import StreamedResponse
from gateway.outputs.archive import Archive, stream_archive
from gateway.outputs.service import ResultService
from gateway.storage.objects import ArtifactStore

ZIP_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/zip": {}},
        "description": "A ZIP file, streamed without Content-Length; Range is not supported.",
    }
}


def create_router(*, results: ResultService, objects: ArtifactStore) -> APIRouter:
    routes = APIRouter(tags=["results"])

    @routes.get(
        "/api/v1/jobs/{job_id}/outputs.zip",
        summary="Download all outputs of a completed job as a ZIP file",
        responses=ZIP_RESPONSE | declare_problems(UnknownJob, UnknownOutput, JobNotFinished),
        response_class=Response,
    )
    async def download_archive(
        tenant: Reader,
        job_id: str,
        *,
        temporary: Annotated[bool | None, Query(description="true: only previews; false: no previews")] = None,
    ) -> Response:
        """Contains previews only if there are no other outputs, or if `temporary` requests them.

        The connection is closed early if an output cannot be read.
        """
        found = await results.find_archive(job_id, tenant=tenant, temporary=temporary)
        return respond_with_archive(found, job_id, objects)

    return routes


def respond_with_archive(archive: Archive, name: str, objects: ArtifactStore) -> Response:
    """Return a stream with the archive; ``name``: name of the file, without extension."""
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{name}.zip"',
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
    }
    return StreamedResponse(stream_archive(archive, objects), headers)
