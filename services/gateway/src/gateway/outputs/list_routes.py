"""Routes that list the outputs of all the caller's jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from contracts.gateway.outputs import UnknownOutput
from contracts.scheduler.outputs import OutputKind
from contracts.wire.errors import FieldError
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader
from gateway.edge.errors import InvalidRequest
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.edge.timestamps import QueryTimestamp
from gateway.jobs.filters import parse_job_ids, parse_label
from gateway.outputs.archive_routes import ZIP_RESPONSE, respond_with_archive
from gateway.outputs.errors import TooManyFiles
from gateway.outputs.list_schemas import (
    MAX_ARCHIVED_JOBS,
    ArchiveLinkBody,
    ArchiveLinkRequest,
    ListedOutputsBody,
    build_listed_output_body,
)
from gateway.outputs.list_service import OutputLister
from gateway.outputs.routes import Temporary
from gateway.outputs.service import ResultService
from gateway.signing.link_urls import LinkUrls
from gateway.storage.objects import ArtifactStore

_EXAMPLE = {"job_ids": ["0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"]}
_AFTER = Query(description="only outputs of jobs completed at or after this time; RFC 3339 with a UTC offset")
_BEFORE = Query(description="only outputs of jobs completed before this time; RFC 3339 with a UTC offset")


def create_router(
    *, lister: OutputLister, results: ResultService, objects: ArtifactStore, links: LinkUrls
) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["results"])

    @routes.get(
        "/outputs", summary="List the outputs of all own jobs, newest first", responses=declare_problems(BadCursor)
    )
    async def list_all_outputs(
        *,
        tenant: Reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=400, description="next_cursor of the previous page")] = None,
        job_id: Annotated[str | None, Query(max_length=36, description="only outputs of this job")] = None,
        kind: Annotated[
            str | None,
            Query(max_length=100, description="only outputs of these kinds, comma separated", examples=["image,video"]),
        ] = None,
        temporary: Temporary = None,
        workflow: Annotated[
            str | None, Query(min_length=1, max_length=64, description="name of the workflow; custom for graphs")
        ] = None,
        label: Annotated[
            str | None,
            Query(max_length=127, description="only of jobs with this label: key:value", examples=["campaign:autumn"]),
        ] = None,
        created_after: Annotated[QueryTimestamp | None, _AFTER] = None,
        created_before: Annotated[QueryTimestamp | None, _BEFORE] = None,
    ) -> ListedOutputsBody:
        """Has the outputs of completed jobs: those of the job that was completed last first, in the job's order.

        `url` and `thumbnail_url` are signed links, which work without a credential until `url_expires_at`.
        """
        page, next_cursor = await lister.list_outputs(
            tenant=tenant,
            limit=limit,
            cursor=cursor,
            job_id=parse_job_ids(job_id, "/job_id", limit=1)[0] if job_id is not None else None,
            kinds=_parse_kinds(kind),
            temporary=temporary,
            workflow=workflow,
            label=parse_label(label),
            created_after=created_after,
            created_before=created_before,
        )
        shown = [build_listed_output_body(listed, links, tenant=tenant) for listed in page]
        return ListedOutputsBody(outputs=shown, next_cursor=next_cursor)

    @routes.get(
        "/outputs.zip",
        summary="Download the outputs of several jobs as a ZIP file",
        responses=ZIP_RESPONSE | declare_problems(UnknownOutput, TooManyFiles),
        response_class=Response,
    )
    async def download_archive_of_jobs(
        tenant: Reader,
        job_ids: Annotated[str, Query(max_length=3700, description="up to 100 ids, comma separated")],
        *,
        temporary: Temporary = None,
    ) -> Response:
        """The archive has a folder for each job. Jobs that do not exist or have no result are left out.

        Contains previews of a job only if it has no other outputs, or if `temporary` requests them. The connection is
        closed early if an output cannot be read.
        """
        parsed = parse_job_ids(job_ids, "/job_ids", limit=MAX_ARCHIVED_JOBS)
        found = await results.find_archive_of_jobs(parsed, tenant=tenant, temporary=temporary)
        return respond_with_archive(found, "outputs", objects)

    @routes.post(
        "/outputs.zip",
        summary="Create a link to the outputs of several jobs as a ZIP file",
        openapi_extra=describe_request_body(ArchiveLinkRequest, example=_EXAMPLE),
        responses=declare_problems(*JSON_BODY),
    )
    async def make_archive_link(tenant: Reader, body: Annotated[Any, Depends(read_json_body)]) -> ArchiveLinkBody:
        """Returns a signed link that works without a credential for 15 minutes, so that a browser can navigate to it.

        The archive is that of GET.
        """
        sent = validate_model(ArchiveLinkRequest, body)
        url, expires_at = links.build_archive_url(list(dict.fromkeys(sent.job_ids)), tenant=tenant)
        return ArchiveLinkBody(url=url, expires_at=expires_at)

    return routes


def _parse_kinds(text: str | None) -> list[OutputKind]:
    try:
        return [OutputKind(kind) for kind in text.split(",")] if text is not None else []
    except ValueError:
        allowed = tuple(kind.value for kind in OutputKind)
        message = "Unknown kind of output. `allowed` lists all kinds; separate several by commas."
        error = FieldError(pointer="/kind", code="kind_unknown", message=message, allowed=allowed)
        raise InvalidRequest(errors=(error,)) from None
