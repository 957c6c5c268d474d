"""Check a submission without running it."""

from fastapi import APIRouter, Request

from contracts.scheduler.submissions import EmptyFleet, ValidationReply
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Writer
from gateway.edge.errors import InvalidRequest
from gateway.edge.request_body import read_workflow_body
from gateway.jobs.errors import STORE_PROBLEMS
from gateway.jobs.routes import SUBMISSION_EXAMPLES
from gateway.jobs.submission_openapi import build_submission_schema
from gateway.jobs.submit import JobSubmitter
from gateway.jobs.validation_schemas import ValidationBody, build_validation_body
from gateway.workflows.errors import UnknownWorkflow
from gateway.workflows.submission_formats import parse_submission


def create_router(*, submitter: JobSubmitter) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

    @routes.post(
        "/validate",
        summary="Check a submission without running it",
        openapi_extra=describe_request_body(build_submission_schema(), examples=SUBMISSION_EXAMPLES),
        responses=declare_problems(UnknownWorkflow, EmptyFleet, *STORE_PROBLEMS, *JSON_BODY),
        response_model_exclude_none=True,
    )
    async def validate_submission(tenant: Writer, request: Request) -> ValidationBody:
        """Takes the body of a submission; uses no quota. `errors` has the errors that would refuse it with 422.

        `warnings` lists what runs differently from what was sent (converted values, inputs that no node reads, nodes
        that no output needs, random seeds), and the limit that would refuse a submission now.
        """
        body = await read_workflow_body(request)
        try:
            sent = parse_submission(body)
        except InvalidRequest as refusal:
            return build_validation_body(ValidationReply(errors=refusal.details.errors))
        found = await submitter.validate_submission(sent, tenant=tenant, is_large=request.state.is_large)
        return build_validation_body(found)

    return routes
