"""Errors of the native API: how routes declare them, and how the OpenAPI document describes them."""

import re
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.auth.accounts import UnknownTenant
from contracts.auth.credentials import InvalidCredential, MissingScope
from contracts.wire.errors import HTTP_STATUS, FieldError, Refusal, Unavailable
from gateway.edge.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidRequest,
    Malformed,
    RateLimited,
    TooManyBodies,
    UnsupportedMediaType,
)

PROBLEM_JSON = "application/problem+json"

DeclaredResponse = type[Refusal] | HTTPStatus
"""A refusal, or a status without a refusal that HTTP itself defines (``416``)."""

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI takes as ``responses``."""

COMMON_PROBLEMS: tuple[DeclaredResponse, ...] = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedMediaType,
    InvalidRequest,
    RateLimited,
    Unavailable,
)
"""Responses of the HTTP parser and of the middleware, which any request may get."""

JSON_BODY: tuple[DeclaredResponse, ...] = (
    Malformed, BodyTooSlow, BodyTooLarge, UnsupportedMediaType, InvalidRequest, TooManyBodies,
)  # fmt: skip
"""Refusals of a request body that the gateway reads."""

_DESCRIPTIONS = {
    400: "The request, a header or the body is malformed.",
    401: "The credential is missing or invalid.",
    403: "The credential does not permit this, or the account is deactivated.",
    404: "The resource does not exist, or belongs to another user.",
    405: "The resource does not support this method.",
    408: "The request did not arrive in time.",
    409: "The request conflicts with the current state of the resource; `code` says how.",
    413: "The body is too large.",
    414: "The request target is longer than 4 KiB.",
    415: "The body has an unsupported media type or encoding.",
    416: "The range begins after the last byte.",
    422: "The request is invalid; `errors` says what is wrong and what would be valid.",
    429: "Too many requests, or a quota is used up; see `Retry-After`.",
    431: "The headers are larger than 16 KiB, or more than 100.",
    503: "A part of the system is unavailable. `Retry-After` says when to try again, where that is known.",
}

_EXAMPLE_VALUES: dict[str, str | int] = {
    "scope": "jobs:write", "service": "scheduler", "limit": 100, "left": 2, "images": 4, "cap": 10, "window": 60,
    "policy": "write", "seconds": 30, "status": "processing", "state": "running",
    "reason": "it is running. Wait until its status is completed: read it again, or follow its events",
    "expected": "it with Content-Type: application/json",
    "advice": "Make fewer, or wait until 00:00 UTC", "problem": 'its Content-Type is "text/plain"', "side": 10,
    "cause": "Node 4 (KSampler): KeyError: 'b'",
    "node": "n-1", "width": 60_000, "height": 60_000, "files": 1000,
    "bytes": 1 << 30, "jobs": 100, "orphans": 1200,
    "stored": 1 << 30, "most": 900, "kind": "PNG", "formats": "PNG, JPEG, WebP",
}  # fmt: skip
"""Values for the placeholders of messages, in examples."""


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


def declare_problems(*declared: DeclaredResponse) -> Responses:
    """Return the ``responses`` of a route that requires a credential.

    Args:
        declared: the responses of this route besides ``COMMON_PROBLEMS`` and the refusals of the credential.
    """
    return declare_public_problems(*declared, InvalidCredential, MissingScope, UnknownTenant)


def declare_public_problems(*declared: DeclaredResponse) -> Responses:
    """Return the ``responses`` of a route that requires no credential: these responses and ``COMMON_PROBLEMS``."""
    examples: dict[int, dict[str, Any]] = {}
    for response in (*declared, *COMMON_PROBLEMS):
        body = _build_http_problem(response) if isinstance(response, HTTPStatus) else _build_refusal_problem(response)
        examples.setdefault(body["status"], {}).setdefault(body["code"], {"value": body})
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {
                PROBLEM_JSON: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": examples[status],
                }
            },
        }
        for status in sorted(examples)
    }


def list_declared_codes(responses: Responses) -> set[str]:
    """Return the codes of all problems that a route declares."""
    return {
        code
        for response in responses.values()
        for code in response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", ())
    }


def _build_refusal_problem(refusal: type[Refusal]) -> dict[str, Any]:
    template = " ".join((refusal.__doc__ or "").split())
    if missing := set(re.findall(r"{(\w+)}", template)) - set(_EXAMPLE_VALUES):
        raise LookupError(f"{refusal.__name__}: add an example of {', '.join(sorted(missing))} to _EXAMPLE_VALUES")
    detail = re.sub(r"{(\w+)}", lambda match: str(_EXAMPLE_VALUES[match[1]]), template)
    return _build_example_problem(
        HTTP_STATUS[refusal.kind], refusal.code, detail, f"urn:comfyfleet:error:{refusal.code}"
    )


def _build_http_problem(status: HTTPStatus) -> dict[str, Any]:
    code = "http." + status.phrase.lower().replace(" ", "_").replace("-", "_")
    return _build_example_problem(status, code, status.phrase, "about:blank")


def _build_example_problem(status: int, code: str, detail: str, type_: str) -> dict[str, Any]:
    return {
        "type": type_,
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": "0199f2b07c3e7a519d245a1be0c0ffee",
    }
