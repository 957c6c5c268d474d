"""Reads request bodies with limits on media type, size and time."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from fastapi import Request

from authn.client_address import find_rate_limit_group
from chassis.offload import INLINE_BYTES, offload
from contracts.auth.credentials import Principal
from contracts.wire.show_values import format_value
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import BodyTooLarge, UnsupportedMediaType
from gateway.edge.form_body import MAX_FORM_BYTES, parse_form
from gateway.edge.json_body import MAX_WORKFLOW_BODY_BYTES, parse_json

MAX_JSON_BYTES = 1 << 20
READ_TIMEOUT_S = 30

_UTF8 = re.compile(r'(; *charset="?utf-8"?)?', re.IGNORECASE)


async def read_json_body(request: Request) -> Any:
    """Return the parsed body, at most 1 MiB. ``request.state.is_large`` says whether to process it in a thread.

    Raises:
        UnsupportedMediaType: the body is not ``application/json`` in UTF-8.
        BodyTooLarge: the declared or received size is too large.
        BodyTooSlow: the body took more than ``READ_TIMEOUT_S``.
        TooManyBodies: the client sends too many bodies at once.
        Unavailable: all clients together send too many.
        Malformed: the body is not valid JSON.
    """
    return await _read_limited_json_body(request, MAX_JSON_BYTES)


async def read_workflow_body(request: Request) -> Any:
    """Like ``read_json_body``, but for a body with a workflow, at most 8 MiB."""
    return await _read_limited_json_body(request, MAX_WORKFLOW_BODY_BYTES)


async def read_form_body(request: Request) -> dict[str, str]:
    """Return the fields of a URL-encoded form.

    Raises:
        UnsupportedMediaType: the body is not ``application/x-www-form-urlencoded`` in UTF-8.
        BodyTooLarge: more than ``MAX_FORM_BYTES``.
        BodyTooSlow: the body took more than ``READ_TIMEOUT_S``.
        Malformed: the body is not a valid form.
    """
    with reserve_body_memory(request, READ_TIMEOUT_S) as take:
        return parse_form(await _read_body(request, "application/x-www-form-urlencoded", MAX_FORM_BYTES, take))


async def _read_limited_json_body(request: Request, limit: int) -> Any:
    with reserve_body_memory(request, READ_TIMEOUT_S) as take:
        body = await _read_body(request, "application/json", limit, take)
        request.state.is_large = len(body) > INLINE_BYTES
        return await offload(parse_json, body) if request.state.is_large else parse_json(body)


def has_body(request: Request) -> bool:
    """Whether the request has a body."""
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def reserve_body_memory(request: Request, within_s: float) -> AbstractContextManager[Callable[[int], None]]:
    """Return a memory reservation for the request's body; see ``CapacityLimit.reserve``."""
    bodies: CapacityLimit = request.state.bodies
    principal: Principal | None = request.state.principal
    return bodies.reserve(
        principal.tenant if principal else find_rate_limit_group(request.state.client_ip), within_s=within_s
    )


async def _read_body(request: Request, media_type: str, limit: int, take: Callable[[int], None]) -> bytes:
    _check_media_type(request.headers.get("content-type", ""), media_type)
    declared = request.headers.get("content-length", "0")
    if int(declared) > limit:  # the server has checked that it is a number
        raise BodyTooLarge(limit=limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit=limit)
        take(len(chunk))
    return bytes(body)


def _check_media_type(content_type: str, media_type: str) -> None:
    name, semicolon, parameters = content_type.partition(";")
    if name.strip().lower() != media_type or not _UTF8.fullmatch((semicolon + parameters).rstrip()):
        expected = f"it in UTF-8, with Content-Type: {media_type}"
        raise UnsupportedMediaType(problem=describe_content_type(content_type), expected=expected)


def describe_content_type(content_type: str) -> str:
    """Return a clause about the Content-Type header of a request, for error messages."""
    return f"its Content-Type is {format_value(content_type)}" if content_type else "it has no Content-Type"
