"""Cross-origin requests from browsers."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chassis.http.app import build_http_problem


class Cors(CORSMiddleware):
    """Starlette's CORS middleware, except that a refused preflight gets an application/problem+json response."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code == 200 else _RefusedPreflight(headers={"Vary": answer.headers["vary"]})


class _RefusedPreflight(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = "Pages of this origin may not send this request."
        error = HTTPException(400, detail, headers={"Vary": self.headers["vary"]})
        await build_http_problem(Request(scope), error)(scope, receive, send)
