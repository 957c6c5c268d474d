"""Cancel or purge many jobs in one request."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from chassis.http.app import build_problem_body
from contracts.wire.errors import Refusal
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Writer
from gateway.edge.errors import BatchTooLarge
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.jobs.bulk_schemas import BulkAction, BulkBody, BulkItem, BulkRequest
from gateway.jobs.schemas import build_job_body
from gateway.jobs.service import JobService

MAX_CONCURRENT = 8  # jobs of one request
JOBS_PER_REQUEST = 10  # jobs that count as one request of the user's rate limit
_EXAMPLE = {"action": "cancel", "job_ids": ["0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"]}


def create_router(*, jobs: JobService, public_url: str, on_usage_changed: Callable[[UUID], None]) -> APIRouter:
    """Return the route; ``on_usage_changed`` is called with the user whose usage has changed."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.post(
        "/bulk",
        summary="Cancel or purge up to 100 jobs",
        openapi_extra=describe_request_body(BulkRequest, example=_EXAMPLE),
        responses=declare_problems(BatchTooLarge, *JSON_BODY),
    )
    async def change_jobs(tenant: Writer, body: Annotated[Any, Depends(read_json_body)], request: Request) -> BulkBody:
        """Answers 200 with one item per job, in order, whether changed or refused. The items do not affect each other.

        `cancel` of a job that has ended leaves it as it is. `purge` deletes an ended job with its inputs and outputs; a
        job that has not ended is 409, and one that was purged before is 404. So the request can be sent again.

        Every ten jobs count as one request of the user's rate limit.
        """
        sent = validate_model(BulkRequest, body)
        job_ids = list(dict.fromkeys(sent.job_ids))
        await request.state.charge((len(job_ids) - 1) // JOBS_PER_REQUEST)
        slots = asyncio.Semaphore(MAX_CONCURRENT)

        async def change_job(job_id: UUID) -> BulkItem:
            async with slots:
                try:
                    if sent.action is BulkAction.PURGE:
                        await jobs.purge_job(str(job_id), tenant=tenant)
                        return BulkItem(job_id=job_id, status=HTTPStatus.NO_CONTENT)
                    job = await jobs.cancel_job(str(job_id), tenant=tenant)
                except Refusal as refusal:
                    refused = build_problem_body(refusal.details, request.state.request_id)
                    return BulkItem(job_id=job_id, status=refused["status"], problem=refused)
                return BulkItem(job_id=job_id, status=HTTPStatus.OK, job=build_job_body(job, public_url))

        items = await asyncio.gather(*map(change_job, job_ids))
        on_usage_changed(UUID(tenant))
        return BulkBody(jobs=list(items))

    return routes
