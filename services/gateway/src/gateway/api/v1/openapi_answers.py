"""What the OpenAPI document says of answers besides their shapes: headers, examples, and the codes of problems."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from contracts.auth.accounts import AccountTaken, LastAdmin, RegistrationClosed, UnknownUser
from contracts.auth.class_rules import TooManyClassRules
from contracts.auth.credentials import InvalidCredential, MissingScope
from contracts.auth.invites import InvalidInvite, InviteRequired, InviteUsed, UnknownInvite
from contracts.auth.keys import ScopeNotGranted, TooManyKeys, UnknownKey
from contracts.auth.sessions import InvalidLogin, InvalidRefreshToken
from contracts.gateway.outputs import JobNotFinished, UnknownOutput
from contracts.scheduler.job_actions import JobHasEnded, JobNotRepeatable, JobNotWaiting
from contracts.scheduler.jobs import UnknownJob
from contracts.scheduler.nodes import NodeAlive, UnknownNode
from contracts.scheduler.purges import JobNotEnded, JobStopping
from contracts.scheduler.submissions import EmptyFleet, IdempotencyKeyReused, InvalidWorkflow, RunTimeTooLong
from contracts.scheduler.usage import GpuSecondsExceeded, QueueFull, QuotaExceeded
from contracts.wire.errors import Refusal, Unavailable
from gateway import errors
from gateway.api.v1.examples import example_of, whole

PROBLEM = "application/problem+json"

HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-Id": ("string", "The request's own if it sent one that is fit to be logged; in every log line of it."),
    "RateLimit-Policy": ("string", "How many requests in how many seconds, by class (IETF draft)."),
    "RateLimit": ("string", "How many of them are left, and in how many seconds there are more."),
    "X-RateLimit-Limit": ("string", "The same limit by its older name."),
    "X-RateLimit-Remaining": ("string", "What is left of it."),
    "X-RateLimit-Reset": ("string", "In how many seconds there are more."),
    "Retry-After": ("string", "In how many seconds to try again."),
    "WWW-Authenticate": ("string", "How to say who asks."),
}
_RATE = tuple(name for name in HEADERS if "RateLimit" in name)
_OF_STATUS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}

_ANY: dict[str, tuple[type[Refusal], ...]] = {
    "400": (errors.Malformed,),
    "401": (InvalidCredential,),
    "403": (MissingScope,),
    "408": (errors.BodyTooSlow,),
    "413": (errors.BodyTooLarge,),
    "415": (errors.UnsupportedMediaType,),
    "422": (errors.InvalidRequest,),
    "429": (errors.RateLimited,),
    "503": (Unavailable,),
}
_HTTP = {"414", "416", "431"}  # HTTP's own, without a refusal of ours
_SUBMITS = r"POST /api/v1/(jobs|generate|workflows/{workflow_name}/jobs)"
_OF_PATH: tuple[tuple[str, str, tuple[type[Refusal], ...]], ...] = (
    (r".* /api/v1/(admin/)?jobs/{job_id}(/.*)?", "404", (UnknownJob,)),
    (r".*/(result|image|thumbnail)", "404", (UnknownOutput,)),
    (r".*/(result|image|thumbnail|outputs|outputs\.zip)", "409", (JobNotFinished,)),
    (r".*/(result|image|thumbnail)", "422", (errors.NotConvertible, errors.TooManyPixels, errors.ConversionFailed)),
    (r"DELETE /api/v1/jobs/{job_id}", "409", (JobNotEnded, JobStopping)),
    (_SUBMITS, "403", (errors.ResultStorageFull,)),
    (_SUBMITS, "422", (InvalidWorkflow, IdempotencyKeyReused, RunTimeTooLong)),
    (_SUBMITS, "429", (QuotaExceeded, GpuSecondsExceeded, QueueFull)),
    (_SUBMITS, "503", (EmptyFleet,)),
    (r"POST /api/v1/jobs/batch", "422", (errors.BatchTooLarge,)),
    (r"POST /api/v1/(jobs|generate|workflows/validate)", "404", (errors.UnknownWorkflow,)),
    (r"POST /api/v1/workflows/validate", "503", (EmptyFleet,)),
    (r"POST /api/v1/generate", "409", (errors.JobCancelled,)),
    (r"POST /api/v1/generate", "422", (errors.JobFailed,)),
    (r".* /api/v1/workflows/{workflow_name}(/.*)?", "404", (errors.UnknownWorkflow,)),
    (r"PUT /api/v1/workflows/.*", "409", (errors.TooManyWorkflows, errors.TooManyVersions)),
    (r".* /api/v1/uploads/{upload_id}(/.*)?", "404", (errors.UnknownUpload,)),
    (r"DELETE /api/v1/uploads/{upload_id}", "409", (errors.UploadInUse,)),
    (r"POST /api/v1/upload", "413", (errors.UploadTooLarge, errors.TooManyUploads)),
    (
        r"POST /api/v1/upload",
        "422",
        (errors.UnsupportedImage, errors.AnimatedImage, errors.UploadTooManyPixels, errors.BrokenImage),
    ),
    (r"POST /api/v1/upload", "429", (errors.TooManyBodies, errors.TooManyConversions)),
    (r"POST /api/v1/auth/register", "409", (AccountTaken,)),
    (
        r"POST /api/v1/auth/register",
        "403",
        (RegistrationClosed, InviteRequired, InvalidInvite),
    ),
    (r".* /api/v1/admin/class-rules/.*", "404", (errors.NoSuchPath,)),
    (r"PUT /api/v1/admin/class-rules/.*", "409", (TooManyClassRules,)),
    (r"DELETE /api/v1/admin/invites/{invite_id}", "404", (UnknownInvite,)),
    (r"DELETE /api/v1/admin/invites/{invite_id}", "409", (InviteUsed,)),
    (r"POST /api/v1/auth/login", "401", (InvalidLogin,)),
    (r"POST /api/v1/auth/refresh", "401", (InvalidRefreshToken,)),
    (r"POST /api/v1/auth/(logout|password)", "403", (errors.SessionNeeded,)),
    (r"POST /api/v1/auth/keys", "403", (ScopeNotGranted,)),
    (r"POST /api/v1/auth/keys", "409", (TooManyKeys,)),
    (r".* /api/v1/auth/keys/{key_id}", "404", (UnknownKey,)),
    (r".* /api/v1/admin/users/{user_id}(/.*)?", "404", (UnknownUser,)),
    (r"(PATCH|DELETE) /api/v1/(admin/users/{user_id}|auth/me)", "409", (LastAdmin,)),
    (r"PATCH /api/v1/admin/tiers/{name}", "404", (errors.UnknownTier,)),
    (r".* /api/v1/admin/nodes/{node}(/.*)?", "404", (UnknownNode,)),
    (r"DELETE /api/v1/admin/nodes/{node}", "409", (NodeAlive,)),
    (r"POST /api/v1/admin/jobs/{job_id}/(hold|release)", "409", (JobNotWaiting,)),
    (r"POST /api/v1/admin/jobs/{job_id}/requeue", "409", (JobNotRepeatable,)),
    (r"PATCH /api/v1/admin/jobs/{job_id}", "409", (JobHasEnded,)),
)
"""Which refusals an operation may answer with which status, besides those of any."""

_SAID: dict[str, str | int] = {
    "scope": "jobs:write", "service": "scheduler", "limit": 100, "left": 2, "images": 4, "cap": 10, "window": 60,
    "policy": "requests", "expected": "application/json", "seconds": 30, "status": "processing", "state": "running",
    "reason": "it is running. Wait until its status is completed: read it again, or follow its events",
    "cause": "Node 4 (KSampler): KeyError: 'b'",
    "node": "n-1", "width": 60_000, "height": 60_000, "files": 1000,
    "bytes": 1 << 30, "jobs": 100, "stored": 1 << 30, "most": 900, "kind": "PNG", "formats": "PNG, JPEG, WebP",
}  # fmt: skip


def tell_answers(document: dict[str, Any]) -> None:
    """Add to each answer its headers and an example; to each problem one for every code that it may have."""
    components = document["components"]
    components["headers"] = {
        name: {"description": says, "schema": {"type": type_}} for name, (type_, says) in HEADERS.items()
    }
    for schema in components["schemas"].values():
        if "examples" in schema:
            schema["examples"] = [whole(example, schema, components["schemas"]) for example in schema["examples"]]
    for operation, status, response in _responses(document):
        counted = not operation.endswith(("/healthz", "/readyz"))
        for name in ("X-Request-Id", *(_RATE if counted else ()), *_OF_STATUS.get(status, ())):
            response.setdefault("headers", {}).setdefault(name, {"$ref": f"#/components/headers/{name}"})
        for media, content in response.get("content", {}).items():
            if media == PROBLEM:
                content["examples"] = _problems(operation, status)
            elif media == "application/json" and not {"example", "examples"} & content.keys():
                content["example"] = example_of(content["schema"], components["schemas"])


def _responses(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations_ in document["paths"].items():
        for method, operation in operations_.items():
            for status, response in operation["responses"].items():
                yield f"{method.upper()} {path}", status, response


def _problems(operation: str, status: str) -> dict[str, Any]:
    """Examples of problems, by code."""
    if status in _HTTP:
        phrase = HTTPStatus(int(status)).phrase
        code = "http." + phrase.lower().replace(" ", "_").replace("-", "_")
        return {code: {"value": _problem(code, status, phrase, "about:blank")}}
    own = [refusal for path, of, refusals in _OF_PATH if of == status and re.fullmatch(path, operation)
           for refusal in refusals]  # fmt: skip
    return {
        refusal.code: {
            "value": _problem(refusal.code, status, _message(refusal), f"urn:comfyfleet:error:{refusal.code}")
        }
        for refusal in (*own, *_ANY.get(status, ()))
    }


def _problem(code: str, status: str, detail: str, type_: str) -> dict[str, Any]:
    return {
        "type": type_,
        "title": HTTPStatus(int(status)).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": "0199f2b07c3e7a519d245a1be0c0ffee",
    }


def _message(refusal: type[Refusal]) -> str:
    text = " ".join((refusal.__doc__ or "").split())
    return re.sub(r"{(\w+)}", lambda match: str(_SAID.get(match[1], match[1])), text)
