"""What the OpenAPI document says of errors."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.wire.errors import FieldError


class Problem(BaseModel):
    """An error (RFC 9457). ``code`` is for programs and never changes its meaning."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:comfyfleet:error:job.not_found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no such job.",
                    "code": "job.not_found",
                    "instance": "/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                    "request_id": "0199f2b07c3e7a519d245a1be0c0ffee",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str | None = None
    errors: list[FieldError] | None = None


_SAYS = {
    400: "A header cannot be read.",
    401: "No credential, or not a valid one.",
    403: "The tenant is deactivated.",
    404: "There is no such job (or output), or it is somebody else's.",
    409: "The job is not completed.",
    413: "The body is too large.",
    416: "The range begins after the last byte.",
    422: "The request cannot be carried out as it is; errors says what is wrong and what would be valid.",
    429: "The daily images are used up or the queue is full; see Retry-After.",
    503: "A part of the system is away; see Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that asks for a credential: 401, 403, 503 and these."""
    return {
        status: {
            "description": _SAYS[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({401, 403, 503, *statuses})
    }
