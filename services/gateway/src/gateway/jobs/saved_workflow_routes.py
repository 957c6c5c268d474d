"""Runs a saved workflow at its own endpoint."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import RootModel

from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader, Writer
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.jobs.errors import SUBMISSION_PROBLEMS
from gateway.jobs.routes import IDEMPOTENCY_KEY, SUBMISSION_HEADERS, build_submission_headers
from gateway.jobs.saved_workflow_openapi import build_document
from gateway.jobs.schemas import JobBody, build_job_body
from gateway.jobs.submit import JobSubmitter
from gateway.workflows.errors import UnknownWorkflow
from gateway.workflows.routes import WorkflowNameParam
from gateway.workflows.schemas import parse_workflow_name
from gateway.workflows.service import SavedWorkflows
from gateway.workflows.submission_formats import parse_submission

SUBMIT_ENDPOINT = "POST /api/v1/workflows/{workflow_name}/jobs"
_PROBLEMS = declare_problems(*SUBMISSION_PROBLEMS, *JSON_BODY)


class ParametersBody(RootModel[dict[str, Any]]):
    """Values by parameter name. ``openapi.json`` of the workflow lists its parameters."""


def create_router(*, submitter: JobSubmitter, saved_workflows: SavedWorkflows, public_url: str) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

    @routes.post(
        "/{workflow_name}/jobs",
        status_code=201,
        summary="Run a saved workflow",
        openapi_extra={
            **describe_request_body(ParametersBody, example={"color": 0x336699}),
            "parameters": [IDEMPOTENCY_KEY],
        },
        responses={201: {"headers": SUBMISSION_HEADERS}, **_PROBLEMS},
    )
    async def run_workflow(
        tenant: Writer,
        workflow_name: WorkflowNameParam,
        body: Annotated[Any, Depends(read_json_body)],
        request: Request,
        response: Response,
    ) -> JobBody:
        """Submits a job of the newest version. The body has only the parameters."""
        name, values = parse_workflow_name(workflow_name), validate_model(ParametersBody, body).root
        accepted = await submitter.submit_job(
            parse_submission({"workflow_name": name, "parameters": values}),
            tenant=tenant,
            idempotency_keys=request.headers.getlist("idempotency-key"),
            endpoint=SUBMIT_ENDPOINT,
            parameters_pointer="",
            is_large=request.state.is_large,
        )
        response.headers.update(build_submission_headers(accepted))
        return build_job_body(accepted.job, public_url)

    @routes.get(
        "/{workflow_name}/openapi.json",
        summary="Read the OpenAPI document of a saved workflow's endpoint",
        responses=declare_problems(UnknownWorkflow),
    )
    async def read_workflow_document(tenant: Reader, workflow_name: WorkflowNameParam) -> dict[str, Any]:
        """An OpenAPI 3.1 document of ``POST /api/v1/workflows/{workflow_name}/jobs`` with typed parameters."""
        version = await saved_workflows.read_workflow(workflow_name, None, tenant=tenant)
        return build_document(version, public_url=public_url, idempotency=IDEMPOTENCY_KEY, problems=_PROBLEMS)

    return routes
