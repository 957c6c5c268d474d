"""What goes wrong, as exceptions.

::

ComfyfleetError
├── ApiError            the API refused (RFC 9457): status, code, detail, errors, request_id, retry_after
│   ├── BadRequest      400, 413, 415 and what has no class of its own
│   ├── Unauthenticated 401
│   ├── Forbidden       403
│   ├── NotFound        404
│   ├── Conflict        409
│   ├── Invalid         422
│   ├── Limited         429
│   └── Unavailable     500 and above
├── Unreachable         no answer, also after every retry
├── Damaged             other bytes than the API says there are
├── Unreadable          an answer that does not have the shape it should
└── StillRunning        a job did not end in time (a TimeoutError, too)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


class ComfyfleetError(Exception):
    """Anything that a client must expect."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong in a request, and what would be valid (``allowed``)."""

    message: str
    pointer: str = ""
    code: str = ""
    node_id: str | None = None
    input: str | None = None
    allowed: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        where = f"node {self.node_id}" + (f", {self.input}" if self.input else "") if self.node_id else self.pointer
        unsaid = any(str(one) not in self.message for one in self.allowed or ())
        valid = f" (valid: {', '.join(map(str, self.allowed or ()))})" if unsaid else ""
        return f"{where}: {self.message}{valid}" if where else f"{self.message}{valid}"


class ApiError(ComfyfleetError):
    """The API refused.

    Attributes:
        status: of HTTP.
        code: for programs; never changes its meaning.
        detail: one sentence for people.
        errors: what is wrong, one by one.
        request_id: names the request in the operator's log.
        retry_after: seconds after which it may be worth another try, None if the API does not say.
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
    """The request cannot be read, or is refused for a reason that has no class of its own."""


class Unauthenticated(ApiError):
    """No credential, or one that is not valid (any more)."""


class Forbidden(ApiError):
    """The credential is not good for this."""


class NotFound(ApiError):
    """There is no such thing, or it is somebody else's."""


class Conflict(ApiError):
    """Things are not as the request needs them."""


class Invalid(ApiError):
    """The request cannot be carried out as it is; ``errors`` says what would be valid."""


class Limited(ApiError):
    """Too many requests, or a quota is used up."""


class Unavailable(ApiError):
    """The service, or a part of it, is away."""


class Unreachable(ComfyfleetError):
    """No answer came.

    Attributes:
        sent: whether the request may have arrived all the same.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Damaged(ComfyfleetError):
    """What was downloaded is not what the API says it is."""


class Unreadable(ComfyfleetError):
    """The answer does not have the shape that it should."""


class StillRunning(ComfyfleetError, TimeoutError):
    """The job did not end in the time that it was given. It goes on."""


_CLASSES: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: Limited,
}


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer tells, also if something between us and the API gave it.

    Args:
        status: 300 or more.
        headers: with names in lower case.
        body: a problem, or anything else.
    """
    problem = _problem(body)
    kind = Unavailable if status >= 500 else _CLASSES.get(status, BadRequest)
    return kind(
        status,
        str(problem.get("detail") or _phrase(status)),
        code=str(problem.get("code", "")),
        errors=tuple(map(_field_error, _objects(problem.get("errors")))),
        request_id=str(problem.get("request_id") or headers.get("x-request-id", "")),
        retry_after=retry_after_of(headers),
    )


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` in seconds; None if there is none, or a date."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _field_error(item: dict[str, Any]) -> FieldError:
    allowed = item.get("allowed")
    return FieldError(
        message=str(item.get("message", "")),
        pointer=str(item.get("pointer", "")),
        code=str(item.get("code", "")),
        node_id=item.get("node_id"),
        input=item.get("input"),
        allowed=tuple(allowed) if isinstance(allowed, list) else None,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"
