"""Reads a JSON request body: capped while reading, parsed once, never echoed."""

from typing import Any

from fastapi import Request

from gateway.domain.errors import BodyTooLarge
from gateway.domain.json_body import MAX_BYTES, read_json


async def json_body(request: Request) -> Any:
    """The decoded body.

    Raises:
        BodyTooLarge: more than ``MAX_BYTES``, declared or sent.
        Malformed: not JSON as we take it.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise BodyTooLarge(limit=MAX_BYTES)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(limit=MAX_BYTES)
    return read_json(bytes(body))
