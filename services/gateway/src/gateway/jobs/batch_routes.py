"""Submit many jobs in one request."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from chassis.http.app import build_problem_body
from contracts.scheduler.submissions import EmptyFleet, IdempotencyKeyReused
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Writer
from gateway.edge.errors import BadIdempotencyKey, BatchTooLarge
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_workflow_body
from gateway.jobs.batch_schemas import MAX_LISTED_ERRORS, Batch, BatchBody, BatchItem, BatchRequest, relocate_refusal
from gateway.jobs.errors import STORE_PROBLEMS
from gateway.jobs.routes import IDEMPOTENCY_KEY, SUBMISSION_EXAMPLES, SUBMISSION_HEADERS, build_quota_headers
from gateway.jobs.schemas import build_job_body
from gateway.jobs.submit import AcceptedJob, JobSubmitter
from gateway.jobs.submit_batch import BatchSubmitter, Outcome

_EXAMPLES = {
    "prompts": {
        "summary": "Two prompts",
        "value": {
            "jobs": [SUBMISSION_EXAMPLES["prompt"]["value"], {"prompt": "the same lighthouse at dawn", "priority": 1}]
        },
    }
}
_BODY = {**describe_request_body(BatchRequest, examples=_EXAMPLES), "parameters": [IDEMPOTENCY_KEY]}
_HEADERS = {name: header for name, header in SUBMISSION_HEADERS.items() if name != "Location"}


def create_router(*, submitter: JobSubmitter, public_url: str) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.post(
        "/batch",
        summary="Submit up to 100 jobs",
        openapi_extra=_BODY,
        responses={
            200: {"headers": _HEADERS},
            **declare_problems(
                BadIdempotencyKey, IdempotencyKeyReused, BatchTooLarge, EmptyFleet, *STORE_PROBLEMS, *JSON_BODY
            ),
        },
    )
    async def submit_batch(
        tenant: Writer, body: Annotated[Any, Depends(read_workflow_body)], request: Request, response: Response
    ) -> BatchBody:
        """Answers 200 with one item per submission, in order, whether accepted or refused.

        Each submission counts as a request: a batch of 100 takes 100 requests of the user's rate limit, or is refused
        as a whole with 429. A batch larger than the limit of a minute is refused with 422 `batch.too_large`.

        A refused submission does not affect the others. A response lists at most 200 errors in total. With an
        `Idempotency-Key`, sending the batch again returns the same jobs and retries the refused submissions; another
        batch with the same key is 422.
        """
        jobs = validate_model(Batch, body).jobs
        batch = BatchSubmitter(
            jobs,
            tenant=tenant,
            idempotency_keys=request.headers.getlist("idempotency-key"),
            submitter=submitter,
            is_large=request.state.is_large,
        )
        await request.state.charge(len(jobs) - 1)
        outcomes = await batch.submit_batch()
        response.headers.update(_build_quota_headers(outcomes))
        request_id = request.state.request_id
        refused = sum(not isinstance(outcome, AcceptedJob) for outcome in outcomes)
        renderer = OutcomeRenderer(public_url, request_id, max_errors=max(1, MAX_LISTED_ERRORS // max(1, refused)))
        return BatchBody(jobs=[renderer.render_item(index, outcome) for index, outcome in enumerate(outcomes)])

    return routes


class OutcomeRenderer(NamedTuple):
    """Renders outcomes. ``max_errors``: the most errors that are listed per submission."""

    public_url: str
    request_id: str
    max_errors: int

    def render_item(self, index: int, outcome: Outcome) -> BatchItem:
        """Return the item for one submission."""
        if isinstance(outcome, AcceptedJob):
            job = build_job_body(outcome.job, self.public_url)
            return BatchItem(index=index, status=HTTPStatus.CREATED, replayed=outcome.replayed, job=job)
        refused = build_problem_body(relocate_refusal(outcome.details, index, self.max_errors), self.request_id)
        return BatchItem(index=index, status=refused["status"], problem=refused)


def _build_quota_headers(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return the quota after the last accepted job; ``Idempotent-Replayed`` if all accepted jobs were replayed."""
    accepted = [outcome for outcome in outcomes if isinstance(outcome, AcceptedJob)]
    quotas = [job.quota for job in accepted if job.quota is not None]
    headers = build_quota_headers(max(quotas, key=lambda quota: quota.used)) if quotas else {}
    if accepted and all(job.replayed for job in accepted):
        headers["Idempotent-Replayed"] = "true"
    return headers
