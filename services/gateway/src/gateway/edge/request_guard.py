"""Refuses malformed paths, queries and encodings before the request is authenticated.

Ignored on purpose: ``Accept``, ``X-HTTP-Method-Override``, the body of a GET, HEAD or DELETE, and unknown query
parameters.
"""

import re
from collections import Counter
from typing import NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http.app import build_problem_response
from contracts.wire.errors import FieldError, Refusal
from contracts.wire.show_values import format_value
from gateway.edge.errors import InvalidRequest, NoSuchPath, UnsupportedMediaType

MAX_PARAMETERS = 50
MAX_NAME = 64

_PATH = re.compile(rb"(/[A-Za-z0-9._~@:=+,-]*)+")  # no path of the API has an escape, a backslash or a path parameter
_PATH_WITH_CLASS_NAME = re.compile(  # except paths with the name of a node class or pack, which can have any characters
    rb"/api/v1/admin/class-rules/(classes|packs)/([A-Za-z0-9._~@:=+,/-]|%[0-9A-Fa-f]{2})+"
)
_MAX_PATH = 2048
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE_IN_POINTER = re.compile(r"[^A-Za-z0-9_.\[\]-]")


class RequestGuard:
    """ASGI middleware that refuses malformed requests.

    It refuses escaped paths (except class and pack names), repeated query parameters, control characters in the query,
    and compressed bodies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            try:
                _check_path(scope["raw_path"])
                _check_encoding(scope["headers"])
                if scope["query_string"]:
                    _check_query(scope["query_string"])
            except Refusal as refusal:
                app = build_problem_response(Request(scope), refusal.details)
        await app(scope, receive, send)


def _check_path(path: bytes) -> None:
    if len(path) > _MAX_PATH or not (_PATH.fullmatch(path) or _PATH_WITH_CLASS_NAME.fullmatch(path)):
        raise NoSuchPath


def _check_encoding(headers: list[tuple[bytes, bytes]]) -> None:
    types = 0
    for name, value in headers:
        types += name == b"content-type"
        if types > 1:
            raise UnsupportedMediaType(problem="the request has more than one Content-Type header", expected="one")
        if name == b"content-encoding" and value.lower() != b"identity":
            problem = f"its Content-Encoding is {format_value(value.decode('latin-1'))}"
            raise UnsupportedMediaType(problem=problem, expected="it uncompressed, without this header")


def _check_query(query: bytes) -> None:
    """Refuse repeated parameters, which are ambiguous, and control characters."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError:
        _refuse_request("", "query_malformed", f"The query is not UTF-8, or has more than {MAX_PARAMETERS} parameters.")
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            _refuse_request(
                _UNSAFE_IN_POINTER.sub("_", name[:MAX_NAME]),
                "repeated",
                "This parameter is given more than once. Send it once.",
            )
    for name, value in pairs:
        if _CONTROL.search(name) or _CONTROL.search(value):
            _refuse_request(
                _UNSAFE_IN_POINTER.sub("_", name[:MAX_NAME]),
                "control_character",
                "This parameter contains a control character. Remove it.",
            )


def _refuse_request(name: str, code: str, message: str) -> NoReturn:
    pointer = f"/{name}" if name else ""
    raise InvalidRequest(errors=(FieldError(pointer=pointer, code=code, message=message),)) from None
