"""Many jobs in one request."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from chassis.http.app import problem
from gateway.api.v1.openapi import documented
from gateway.api.v1.problems import BODY, problems
from gateway.edge.access import Writer
from gateway.edge.json_body import read_model
from gateway.edge.request_body import workflow_body
from gateway.jobs.batch_schemas import MAX_ERRORS, Batch, BatchBody, BatchItem, BatchRequest, placed
from gateway.jobs.routes import EXAMPLES, HEADERS, IDEMPOTENCY_KEY, quota_headers
from gateway.jobs.schemas import present
from gateway.jobs.submit import Accepted, Submitter
from gateway.jobs.submit_batch import BatchSubmitter, Outcome

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

        Each submission counts as a request: a batch of 100 takes 100 of those that its user has in a minute, or is
        refused with 429 before anything is done. A batch of more than a minute's requests is 422 `batch.too_large`.

        One that is refused spoils no other; the refusals of a batch tell 200 errors together. With an
        `Idempotency-Key` a repetition gives the same jobs again and tries
        once more what was refused; the key with another batch is 422.
        """
        jobs = read_model(Batch, body).jobs
        sent = BatchSubmitter(
            jobs,
            tenant=tenant,
            idempotency_keys=request.headers.getlist("idempotency-key"),
            submitter=submitter,
            is_large=request.state.is_large,
        )
        await request.state.charge(len(jobs) - 1)
        outcomes = await sent.submit()
        response.headers.update(_headers(outcomes))
        request_id = request.state.request_id
        refused = sum(not isinstance(one, Accepted) for one in outcomes)
        shown = Shown(public_url, request_id, errors=max(1, MAX_ERRORS // max(1, refused)))
        return BatchBody(jobs=[shown.item(index, one) for index, one in enumerate(outcomes)])

    return routes


class Shown(NamedTuple):
    """How outcomes are shown. ``errors``: of one submission at most."""

    public_url: str
    request_id: str
    errors: int

    def item(self, index: int, outcome: Outcome) -> BatchItem:
        """What became of one submission."""
        if isinstance(outcome, Accepted):
            job = present(outcome.job, self.public_url)
            return BatchItem(index=index, status=HTTPStatus.CREATED, replayed=outcome.replayed, job=job)
        refused = problem(placed(outcome.refused, index, self.errors), self.request_id)
        return BatchItem(index=index, status=refused["status"], problem=refused)


def _headers(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The quota after the last that was accepted; replayed, if all of those were."""
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    quotas = [one.quota for one in accepted if one.quota is not None]
    headers = quota_headers(max(quotas, key=lambda quota: quota.used)) if quotas else {}
    if accepted and all(one.replayed for one in accepted):
        headers["Idempotent-Replayed"] = "true"
    return headers
