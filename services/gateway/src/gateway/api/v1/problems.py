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
    400: "The request, a header or the body cannot be read.",
    401: "No credential, or not a valid one.",
    403: "The credential is not good for this, or the tenant is deactivated.",
    404: "There is no such thing, or it is somebody else's.",
    405: "The resource has no such method.",
    408: "The body came too slowly.",
    409: "Things are not as the request needs them; code says which.",
    413: "The body is too large.",
    414: "The request line is longer than 4 KiB.",
    415: "The body is of another media type.",
    416: "The range begins after the last byte.",
    422: "The request cannot be carried out as it is; errors says what is wrong and what would be valid.",
    431: "The headers are larger than 16 KiB, or more than 100.",
    429: "Too many requests, or a quota is used up; see Retry-After.",
    503: "A part of the system is away. `Retry-After` says when to try again, where that is known.",
}

ANY = (400, 408, 414, 422, 429, 431, 503)
"""What any route may answer: the guard, the rate limits, a part that is away."""

BODY = (408, 413, 415, 422)
"""What may be wrong with a request body."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that asks for a credential: those of every route, 401, 403 and these."""
    return open_problems(401, 403, *statuses)


def open_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that is open to everybody: what any route may answer, and these."""
    return {
        status: {
            "description": _SAYS[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*ANY, *statuses})
    }
