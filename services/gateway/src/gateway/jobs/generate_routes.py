"""Submit a job and wait for its result in one request."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from chassis.http.app import build_problem_response
from chassis.messaging.bus import Bus
from chassis.shutdown import Shutdown
from contracts.scheduler.jobs import FINAL_STATES
from contracts.wire.errors import Refusal
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Writer
from gateway.edge.prefer import DEFAULT_WAIT_S, MAX_WAIT_S, MIN_WAIT_S, parse_preferred_wait_s
from gateway.edge.request_body import read_workflow_body
from gateway.jobs.errors import SUBMISSION_PROBLEMS, JobCancelled, JobFailed, JobLost
from gateway.jobs.generate_schemas import GenerateBody, build_generate_body
from gateway.jobs.routes import IDEMPOTENCY_KEY, SUBMISSION_EXAMPLES, SUBMISSION_HEADERS, build_submission_headers
from gateway.jobs.schemas import JobBody, build_job_body
from gateway.jobs.submission_openapi import build_submission_schema
from gateway.jobs.submit import JobSubmitter
from gateway.jobs.wait import JobWaiter
from gateway.workflows.submission_formats import parse_submission

SUBMIT_ENDPOINT = "POST /api/v1/generate"
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": (
        f"`wait=N` (RFC 7240): wait N seconds, {MIN_WAIT_S} to {MAX_WAIT_S}; default {DEFAULT_WAIT_S}. "
        "Values outside are clamped; see Preference-Applied."
    ),
    "schema": {"type": "string"},
    "example": "wait=120",
}
_APPLIED = {"Preference-Applied": {"description": "The `wait` that was applied.", "schema": {"type": "string"}}}
_BODY = {
    **describe_request_body(build_submission_schema(), examples=SUBMISSION_EXAMPLES),
    "parameters": [IDEMPOTENCY_KEY, _PREFER],
}
_ACCEPTED = {"model": JobBody, "description": "The job has not ended yet.", "headers": SUBMISSION_HEADERS | _APPLIED}


def create_router(
    *,
    bus: Bus,
    submitter: JobSubmitter,
    public_url: str,
    on_usage_changed: Callable[[UUID], None],
    shutdown: Shutdown,
) -> APIRouter:
    """Return the route.

    ``on_usage_changed`` is called with the user whose usage has changed. ``shutdown`` ends the wait.
    """
    routes = APIRouter(prefix="/api/v1", tags=["jobs"])

    @routes.post(
        "/generate",
        summary="Submit a job and wait for its result",
        openapi_extra=_BODY,
        response_model=GenerateBody,
        responses={
            200: {"headers": SUBMISSION_HEADERS | _APPLIED},
            202: _ACCEPTED,
            **declare_problems(*SUBMISSION_PROBLEMS, JobFailed, JobCancelled, JobLost, *JSON_BODY),
        },
    )
    async def generate(tenant: Writer, body: Annotated[Any, Depends(read_workflow_body)], request: Request) -> Response:
        """Answers 200 once the job is completed, and 202 with the job if it takes longer than `Prefer: wait`.

        It also answers 202 before that time if the server is being stopped: follow `Location`, or send the request
        again with the same `Idempotency-Key`.

        A failed job is an error: 422 `job.failed` if it would fail again, 503 `job.lost` for an infrastructure fault,
        409 `job.cancelled` if it was cancelled. `errors` has the cause; `Location` names the job.

        Closing the connection cancels the job, unless the request has an `Idempotency-Key`: then sending it again waits
        for the same job.
        """
        submission = parse_submission(body)
        keys = request.headers.getlist("idempotency-key")
        accepted = await submitter.submit_job(
            submission, tenant=tenant, idempotency_keys=keys, endpoint=SUBMIT_ENDPOINT, is_large=request.state.is_large
        )
        wait_s = parse_preferred_wait_s(request.headers.getlist("prefer"))
        headers = build_submission_headers(accepted) | (
            {} if wait_s is None else {"Preference-Applied": f"wait={wait_s}"}
        )
        waiter = JobWaiter(accepted.job, bus=bus)
        if await _wait_for_end_or_disconnect(request, waiter, wait_s or DEFAULT_WAIT_S, shutdown.closing):
            if not keys:
                await waiter.cancel_job()
                on_usage_changed(accepted.job.tenant_id)
            raise ClientDisconnect
        on_usage_changed(accepted.job.tenant_id)
        if waiter.job.state not in FINAL_STATES:
            return _build_job_response(build_job_body(waiter.job, public_url), 202, headers)
        try:
            return _build_job_response(build_generate_body(waiter.job, public_url), 200, headers)
        except Refusal as refusal:
            response = build_problem_response(request, refusal.details)
            response.headers.update(headers)
            return response

    return routes


async def _wait_for_end_or_disconnect(
    request: Request, waiter: JobWaiter, wait_s: float, closing: asyncio.Event
) -> bool:
    """Wait at most ``wait_s`` seconds for the job's end. Return whether the client disconnected before it.

    Shutdown of the gateway ends the wait, and finally cancels this coroutine. Neither counts as a disconnect, so the
    job continues.
    """
    ended = asyncio.create_task(waiter.wait_for_end(), name="gateway.generate.wait")
    disconnected = asyncio.create_task(_wait_for_disconnect(request), name="gateway.generate.client")
    closed = asyncio.create_task(closing.wait(), name="gateway.generate.shutdown")
    try:
        await asyncio.wait({ended, disconnected, closed}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
            return False
        return disconnected.done()
    finally:
        for task in (ended, disconnected, closed):
            task.cancel()
        await asyncio.gather(ended, disconnected, closed, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    """Return once the client has disconnected. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _build_job_response(body: JobBody, status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(body.model_dump(mode="json"), status_code=status, headers=headers)
