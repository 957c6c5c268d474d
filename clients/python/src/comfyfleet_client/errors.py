"""Exceptions of the client.

::

    ComfyfleetError
    ├── ApiError            the API refused (RFC 9457): status, code, detail, errors, request_id, retry_after
    │   ├── BadRequest      400, 413, 415 and statuses without a class of their own
    │   ├── Unauthenticated 401
    │   ├── Forbidden       403
    │   ├── NotFound        404
    │   ├── Conflict        409
    │   ├── InvalidRequest  422
    │   ├── LimitReached    429
    │   └── Unavailable     500 and above
    ├── ServerUnreachable   no response after all retries
    ├── DamagedDownload     the downloaded bytes do not match their digest
    ├── UnreadableResponse  a response with an unexpected shape
    └── JobStillRunning     a job did not end in time (also a TimeoutError)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


class ComfyfleetError(Exception):
    """Base class of all expected errors."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in a request, and what would be valid (``allowed``)."""

    message: str
    pointer: str = ""
    code: str = ""
    node_id: str | None = None
    input: str | None = None
    allowed: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        where = f"node {self.node_id}" + (f", {self.input}" if self.input else "") if self.node_id else self.pointer
        has_unmentioned = any(str(value) not in self.message for value in self.allowed or ())
        valid = f" (valid: {', '.join(map(str, self.allowed or ()))})" if has_unmentioned else ""
        return f"{where}: {self.message}{valid}" if where else f"{self.message}{valid}"


class ApiError(ComfyfleetError):
    """The API refused.

    Attributes:
        status: HTTP status.
        code: stable code for programs.
        detail: one sentence for people.
        errors: the individual errors.
        request_id: identifies the request in the operator's log.
        retry_after: seconds until a retry makes sense, None if unknown.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: tuple[FieldError, ...] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code, self.errors = status, detail, code, errors
        self.request_id, self.retry_after = request_id, retry_after


class BadRequest(ApiError):
    """The request is malformed, or refused with a status that has no class of its own."""


class Unauthenticated(ApiError):
    """The credential is missing, invalid or expired."""


class Forbidden(ApiError):
    """The credential lacks the rights for this."""


class NotFound(ApiError):
    """The requested object does not exist, or belongs to somebody else."""


class Conflict(ApiError):
    """The current state does not allow the request."""


class InvalidRequest(ApiError):
    """The request is invalid; ``errors`` says what would be valid."""


class LimitReached(ApiError):
    """Too many requests, or a quota is used up."""


class Unavailable(ApiError):
    """The service, or a part of it, is unavailable."""


class ServerUnreachable(ComfyfleetError):
    """There was no response.

    Attributes:
        sent: whether the request may have arrived at the service.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class DamagedDownload(ComfyfleetError):
    """The downloaded bytes do not match their digest."""


class UnreadableResponse(ComfyfleetError):
    """The response has an unexpected shape."""


class JobStillRunning(ComfyfleetError, TimeoutError):
    """The job did not end in time. It continues."""


_ERROR_CLASSES: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: InvalidRequest,
    429: LimitReached,
}


def build_api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error in a response, also if a proxy sent it.

    Args:
        status: 300 or more.
        headers: headers with lower-case names.
        body: a problem document, or anything else.
    """
    problem = _parse_problem(body)
    kind = Unavailable if status >= 500 else _ERROR_CLASSES.get(status, BadRequest)
    return kind(
        status,
        str(problem.get("detail") or _find_status_phrase(status)),
        code=str(problem.get("code", "")),
        errors=tuple(map(_parse_field_error, _keep_objects(problem.get("errors")))),
        request_id=str(problem.get("request_id") or headers.get("x-request-id", "")),
        retry_after=parse_retry_after(headers),
    )


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return ``Retry-After`` in seconds; None if missing or a date."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _parse_problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _keep_objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parse_field_error(item: dict[str, Any]) -> FieldError:
    allowed = item.get("allowed")
    return FieldError(
        message=str(item.get("message", "")),
        pointer=str(item.get("pointer", "")),
        code=str(item.get("code", "")),
        node_id=item.get("node_id"),
        input=item.get("input"),
        allowed=tuple(allowed) if isinstance(allowed, list) else None,
    )


def _find_status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"
