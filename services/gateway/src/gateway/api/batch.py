"""Many jobs in one request."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from chassis.web import problem
from gateway.api.access import Writer
from gateway.api.body import workflow_body
from gateway.api.document import documented
from gateway.api.jobs import EXAMPLES, HEADERS, IDEMPOTENCY_KEY, quota_headers
from gateway.api.problems import BODY, problems
from gateway.domain.json_body import read_model
from gateway.domain.public_batch import Batch, BatchBody, BatchItem, BatchRequest, placed
from gateway.domain.public_job import present
from gateway.usecases.submit_batch import BatchSubmitter, Outcome
from gateway.usecases.submit_job import Accepted, Submitter

_EXAMPLES = {
    "prompts": {
        "summary": "Two prompts",
        "value": {"jobs": [EXAMPLES["prompt"]["value"], {"prompt": "the same lighthouse at dawn", "priority": 1}]},
    }
}
_BODY = {**documented(BatchRequest, examples=_EXAMPLES), "parameters": [IDEMPOTENCY_KEY]}
_HEADERS = {name: says for name, says in HEADERS.items() if name != "Location"}


def router(*, submitter: Submitter, public_url: str) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.post(
        "/batch",
        summary="Submit up to 100 jobs",
        openapi_extra=_BODY,
        responses={200: {"headers": _HEADERS}, **problems(400, *BODY, 429)},
    )
    async def batch(
        tenant: Writer, body: Annotated[Any, Depends(workflow_body)], request: Request, response: Response
    ) -> BatchBody:
        """Answers 200 with one item for each submission, in their order, whatever became of them.

        One that is refused spoils no other. With an `Idempotency-Key` a repetition gives the same jobs again and tries
        once more what was refused; the key with another batch is 422.
        """
        sent = BatchSubmitter(
            read_model(Batch, body).jobs,
            tenant=tenant,
            idempotency_keys=request.headers.getlist("idempotency-key"),
            submitter=submitter,
        )
        outcomes = await sent.submit()
        response.headers.update(_headers(outcomes))
        request_id = request.state.request_id
        return BatchBody(jobs=[_item(index, one, public_url, request_id) for index, one in enumerate(outcomes)])

    return routes


def _item(index: int, outcome: Outcome, public_url: str, request_id: str) -> BatchItem:
    if isinstance(outcome, Accepted):
        job = present(outcome.job, public_url)
        return BatchItem(index=index, status=HTTPStatus.CREATED, replayed=outcome.replayed, job=job)
    refused = problem(placed(outcome.refused, index), request_id)
    return BatchItem(index=index, status=refused["status"], problem=refused)


def _headers(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The quota after the last that was accepted; replayed, if all of those were."""
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    quotas = [one.quota for one in accepted if one.quota is not None]
    headers = quota_headers(max(quotas, key=lambda quota: quota.used)) if quotas else {}
    if accepted and all(one.replayed for one in accepted):
        headers["Idempotent-Replayed"] = "true"
    return headers
