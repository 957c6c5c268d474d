"""The OpenAPI document of a saved workflow's own endpoint."""

from typing import Any

from gateway.api.v1.openapi import JSON
from gateway.api.v1.problems import Problem, Responses
from gateway.jobs.schemas import JobBody
from gateway.workflows import parameters
from gateway.workflows.schemas import WorkflowVersion

_COMPONENTS = "#/components/schemas/{model}"
_LOCATION = {"description": "URL path of the job.", "schema": {"type": "string"}}


def build_document(
    saved: WorkflowVersion, *, public_url: str, idempotency: dict[str, Any], problems: Responses
) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document with the one route that runs this workflow, with typed parameters.

    Args:
        saved: the workflow.
        public_url: origin of the API.
        idempotency: describes the header Idempotency-Key.
        problems: the errors that the route declares.
    """
    summary = saved.summary
    post = {
        "operationId": f"run_{summary.name.replace('-', '_')}",
        "summary": f"Run {summary.name}",
        "description": summary.description or f"Submits a job of the workflow {summary.name}.",
        "parameters": [idempotency],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": parameters.build_parameters_schema(saved.parameters)}},
        },
        "responses": {
            "201": {
                "description": "The job.",
                "headers": {"Location": _LOCATION},
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/JobBody"}}},
            },
            **{str(status): described for status, described in problems.items()},
        },
        "security": [{"ApiKey": []}, {"Bearer": []}],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": summary.name, "version": str(summary.version)},
        "servers": [{"url": public_url}],
        "paths": {f"/api/v1/workflows/{summary.name}/jobs": {"post": post}},
        "components": {
            "schemas": _build_parameter_schemas(),
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _build_parameter_schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in (JobBody, Problem):
        described = model.model_json_schema(ref_template=_COMPONENTS, mode="serialization")
        found |= described.pop("$defs", {})
        found[model.__name__] = described
    return found
