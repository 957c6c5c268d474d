"""The OpenAPI document of one saved workflow's own endpoint."""

from typing import Any

from gateway.api.v1.openapi import JSON
from gateway.api.v1.problems import BODY, Problem, problems
from gateway.jobs.schemas import JobBody
from gateway.workflows import parameters
from gateway.workflows.schemas import Version

_COMPONENTS = "#/components/schemas/{model}"
_LOCATION = {"description": "The job.", "schema": {"type": "string"}}
STATUSES = (400, 404, *BODY, 429)


def document_of(saved: Version, *, public_url: str, idempotency: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI 3.1 document with the one route that runs this workflow, its parameters typed."""
    heading = saved.heading
    post = {
        "operationId": f"run_{heading.name.replace('-', '_')}",
        "summary": f"Run {heading.name}",
        "description": heading.description or f"Submits a job of the workflow {heading.name}.",
        "parameters": [idempotency],
        "requestBody": {"required": True, "content": {JSON: {"schema": parameters.schema(saved.parameters)}}},
        "responses": {
            "201": {
                "description": "The job.",
                "headers": {"Location": _LOCATION},
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/JobBody"}}},
            },
            **{str(status): said for status, said in problems(*STATUSES).items()},
        },
        "security": [{"ApiKey": []}, {"Bearer": []}],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": heading.name, "version": str(heading.version)},
        "servers": [{"url": public_url}],
        "paths": {f"/api/v1/workflows/{heading.name}/jobs": {"post": post}},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in (JobBody, Problem):
        described = model.model_json_schema(ref_template=_COMPONENTS, mode="serialization")
        found |= described.pop("$defs", {})
        found[model.__name__] = described
    return found
