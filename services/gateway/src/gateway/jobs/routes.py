"""Submit, list, read, cancel and purge jobs."""

from collections.abc import Callable
from time import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from contracts.scheduler.jobs import JobStatus, UnknownJob
from contracts.scheduler.purges import JobNotEnded, JobStopping
from contracts.scheduler.usage import Quota
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader, Writer
from gateway.edge.fast_path_routes import FastPathRoute, build_json_response
from gateway.edge.request_body import read_workflow_body
from gateway.edge.timestamps import QueryTimestamp
from gateway.jobs.errors import SUBMISSION_PROBLEMS
from gateway.jobs.filters import parse_label
from gateway.jobs.schemas import JobBody, JobsBody, build_job_body
from gateway.jobs.service import JobService
from gateway.jobs.submission_openapi import build_submission_schema
from gateway.jobs.submit import AcceptedJob, JobSubmitter
from gateway.workflows.submission_formats import parse_submission

SUBMIT_ENDPOINT = "POST /api/v1/jobs"
SUBMISSION_EXAMPLES = {
    "prompt": {
        "summary": "Text to image",
        "value": {"prompt": "a lighthouse at dusk", "width": 768, "height": 512, "steps": 20, "num_images": 2},
    },
    "image": {
        "summary": "Image to image; with a mask, inpaint",
        "value": {"prompt": "at night", "image": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "denoise": 0.6},
    },
    "workflow": {
        "summary": "A workflow in API format, with an upload as the file of a node",
        "value": {
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
            },
            "labels": {"campaign": "autumn"},
        },
    },
    "comfyui": {
        "summary": "What ComfyUI's clients send",
        "value": {
            "prompt": {
                "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 0}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
            },
            "client_id": "0199f2b07c3e7a519d245a1be0c0ffee",
            "extra_data": {"extra_pnginfo": {"made": "by hand"}},
        },
    },
    "workflow_name": {
        "summary": "A saved workflow",
        "value": {"workflow_name": "portrait", "version": 3, "parameters": {"prompt": "a lighthouse at dusk"}},
    },
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sending the same key with the same body again within 24 hours returns the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
CREATED_AFTER = Query(
    description="only jobs accepted at or after this time; RFC 3339 with a UTC offset",
    examples=["2026-11-23T00:00:00Z"],
)
CREATED_BEFORE = Query(
    description="only jobs accepted before this time; RFC 3339 with a UTC offset", examples=["2026-11-24T00:00:00Z"]
)
_BODY = {
    **describe_request_body(build_submission_schema(), examples=SUBMISSION_EXAMPLES),
    "parameters": [IDEMPOTENCY_KEY],
}
SUBMISSION_HEADERS: dict[str, Any] = {
    "Location": {"description": "URL path of the job.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` if an earlier request created this job.",
        "schema": {"type": "string"},
    },
    "X-Quota-Limit": {"description": "Images per day; absent if unlimited.", "schema": {"type": "integer"}},
    "X-Quota-Remaining": {"description": "Images left today; absent if unlimited.", "schema": {"type": "integer"}},
    "X-Quota-Reset": {"description": "Seconds until the next day (UTC).", "schema": {"type": "integer"}},
}


def create_router(
    *,
    jobs: JobService,
    submitter: JobSubmitter,
    public_url: str,
    on_usage_changed: Callable[[UUID], None],
) -> APIRouter:
    """Return the routes of jobs; ``on_usage_changed`` is called with the user whose usage has changed."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    async def submit_job(tenant: Writer, request: Request) -> Response:
        accepted = await submitter.submit_job(
            parse_submission(await read_workflow_body(request)),
            tenant=tenant,
            idempotency_keys=request.headers.getlist("idempotency-key"),
            endpoint=SUBMIT_ENDPOINT,
            is_large=request.state.is_large,
        )
        return build_json_response(build_job_body(accepted.job, public_url), 201, build_submission_headers(accepted))

    routes.add_api_route(
        "",
        submit_job,
        methods=["POST"],
        status_code=201,
        summary="Submit a job",
        openapi_extra=_BODY,
        response_model=JobBody,
        responses={201: {"headers": SUBMISSION_HEADERS}, **declare_problems(*SUBMISSION_PROBLEMS, *JSON_BODY)},
        route_class_override=FastPathRoute,
    )

    @routes.get("", summary="List own jobs, newest first", responses=declare_problems(BadCursor))
    async def list_jobs(
        *,
        tenant: Reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
        status: Annotated[JobStatus | None, Query(description="only jobs of this status")] = None,
        workflow: Annotated[
            str | None, Query(min_length=1, max_length=64, description="name of the workflow; custom for graphs")
        ] = None,
        label: Annotated[
            str | None,
            Query(max_length=127, description="only jobs with this label, as key:value", examples=["campaign:autumn"]),
        ] = None,
        created_after: Annotated[QueryTimestamp | None, CREATED_AFTER] = None,
        created_before: Annotated[QueryTimestamp | None, CREATED_BEFORE] = None,
    ) -> JobsBody:
        page, next_cursor = await jobs.list_jobs(
            tenant=tenant,
            limit=limit,
            cursor=cursor,
            status=status,
            workflow=workflow,
            label=parse_label(label),
            created_after=created_after,
            created_before=created_before,
        )
        return JobsBody(jobs=[build_job_body(job, public_url) for job in page], next_cursor=next_cursor)

    async def read_job(request: Request, tenant: Reader, job_id: str) -> Response:  # noqa: ARG001 - fast-path routes require this parameter
        return build_json_response(build_job_body(await jobs.read_job(job_id, tenant=tenant), public_url))

    routes.add_api_route(
        "/{job_id}",
        read_job,
        summary="Read a job",
        response_model=JobBody,
        responses=declare_problems(UnknownJob),
        route_class_override=FastPathRoute,
    )

    @routes.delete(
        "/{job_id}",
        summary="Cancel or purge a job",
        responses={
            200: {"description": "The job, cancelled or already ended."},
            204: {"description": "Purged. Its data is deleted everywhere within seconds."},
            **declare_problems(UnknownJob, JobNotEnded, JobStopping),
        },
        response_model=JobBody,
    )
    async def cancel_or_purge_job(
        tenant: Writer,
        job_id: str,
        *,
        purge: Annotated[bool, Query(description="delete an ended job with its inputs and outputs")] = False,
    ) -> JobBody | Response:
        """Cancels the job, like POST to `/cancel`. With `purge=true` deletes an ended job with its inputs and outputs.

        Purging a job that has not ended is 409: cancel it first, and purge it once its node has released it.
        """
        if not purge:
            return await cancel_job(tenant, job_id)
        await jobs.purge_job(job_id, tenant=tenant)
        return Response(status_code=204)

    @routes.post("/{job_id}/cancel", summary="Cancel a job", responses=declare_problems(UnknownJob))
    async def cancel_job(tenant: Writer, job_id: str) -> JobBody:
        """Idempotent. The response is the job as it is afterwards."""
        job = await jobs.cancel_job(job_id, tenant=tenant)
        on_usage_changed(job.tenant_id)
        return build_job_body(job, public_url)

    return routes


def build_submission_headers(accepted: AcceptedJob) -> dict[str, str]:
    """Return the response headers for an accepted job."""
    headers = {"Location": f"/api/v1/jobs/{accepted.job.job_id}"}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return headers | (build_quota_headers(accepted.quota) if accepted.quota else {})


def build_quota_headers(quota: Quota) -> dict[str, str]:
    """Return the response headers about the image quota."""
    headers = {"X-Quota-Reset": str(max(0, round(quota.resets_at.timestamp() - time())))}
    if quota.limit is not None:
        headers["X-Quota-Limit"] = str(quota.limit)
        headers["X-Quota-Remaining"] = str(max(0, quota.limit - quota.used))
    return headers
