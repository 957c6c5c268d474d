"""Save, list, read and delete workflows."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from contracts.scheduler.submissions import InvalidWorkflow
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader, Writer
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.workflows.errors import TooManyVersions, TooManyWorkflows, UnknownWorkflow
from gateway.workflows.schemas import (
    NAME_PATTERN,
    SaveBody,
    WorkflowBody,
    WorkflowsBody,
    build_workflow_body,
    build_workflow_summary_body,
)
from gateway.workflows.service import SavedWorkflows
from gateway.workflows.submission_formats import unwrap_workflow_field

_EXAMPLE = {
    "description": "A plain colour",
    "workflow": {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
    },
    "parameters": {"color": {"node": "1", "input": "color", "minimum": 0, "maximum": 0xFFFFFF}},
}
_VERSION = Query(ge=1, le=2**31 - 1, description="default: the newest")

# Not validated by FastAPI, so that a malformed name is a 404 like an unknown one.
WorkflowNameParam = Annotated[str, Path(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"}, examples=["portrait"])]


def create_router(*, saved_workflows: SavedWorkflows) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

    @routes.get("", summary="List own saved workflows, last changed first", responses=declare_problems(BadCursor))
    async def list_workflows(
        *,
        tenant: Reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
    ) -> WorkflowsBody:
        found, next_cursor = await saved_workflows.list_workflows(tenant=tenant, limit=limit, cursor=cursor)
        return WorkflowsBody(
            workflows=[build_workflow_summary_body(summary) for summary in found], next_cursor=next_cursor
        )

    @routes.get("/{workflow_name}", summary="Read a saved workflow", responses=declare_problems(UnknownWorkflow))
    async def read_workflow(
        tenant: Reader, workflow_name: WorkflowNameParam, version: Annotated[int | None, _VERSION] = None
    ) -> WorkflowBody:
        return build_workflow_body(await saved_workflows.read_workflow(workflow_name, version, tenant=tenant))

    @routes.put(
        "/{workflow_name}",
        summary="Save a workflow",
        openapi_extra=describe_request_body(SaveBody, example=_EXAMPLE),
        responses={
            201: {"model": WorkflowBody, "description": "A new version."},
            200: {"description": "The newest version already has this content."},
            **declare_problems(UnknownWorkflow, TooManyWorkflows, TooManyVersions, InvalidWorkflow, *JSON_BODY),
        },
    )
    async def save_workflow(
        tenant: Writer,
        workflow_name: WorkflowNameParam,
        body: Annotated[Any, Depends(read_json_body)],
        request: Request,
        response: Response,
    ) -> WorkflowBody:
        """Saves different content as the next version. Earlier versions stay.

        Saving the same content again changes nothing.
        """
        sent, is_large = validate_model(SaveBody, unwrap_workflow_field(body)), request.state.is_large
        version, is_new = await saved_workflows.save_workflow(workflow_name, sent, tenant=tenant, is_large=is_large)
        response.status_code = 201 if is_new else 200
        return build_workflow_body(version)

    @routes.delete(
        "/{workflow_name}",
        status_code=204,
        summary="Delete a workflow with all its versions",
        responses=declare_problems(UnknownWorkflow),
    )
    async def delete_workflow(tenant: Writer, workflow_name: WorkflowNameParam) -> None:
        """Jobs of the workflow stay. Saving a workflow of the same name starts again with version 1."""
        await saved_workflows.delete_workflow(workflow_name, tenant=tenant)

    return routes
