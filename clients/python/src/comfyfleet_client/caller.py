"""Executes calls: authentication, retries, and exceptions for refusals."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import random
from typing import Any, TypeVar

from comfyfleet_client import calls
from comfyfleet_client.call import Call, Request
from comfyfleet_client.credentials import Credentials, Session
from comfyfleet_client.errors import ComfyfleetError, Unauthenticated, UnreadableResponse, build_api_error
from comfyfleet_client.retry import Retry
from comfyfleet_client.steps import Flow, Pause, Response, RunExclusively, Send

T = TypeVar("T")
_REFRESHABLE_CODES = frozenset({"auth.credential.invalid", ""})  # "": a proxy answered for the service


@dataclass(slots=True)
class Caller:
    """The base URL, credentials and retry policy of a client, and the flows that use them.

    Attributes:
        base_url: URL of the service, without ``/api/v1``.
    """

    base_url: str
    credentials: Credentials
    retry: Retry = field(default_factory=Retry)

    def execute(self, call: Call[T]) -> Flow[T]:
        """Execute a call and parse its response."""
        response = yield from self.run_authenticated(
            call.request, lambda auth_headers: self._send_with_retries(call.request, auth_headers)
        )
        return call.parse(_decode_body(response.body))

    def login(self, username: str, password: str) -> Flow[Session]:
        """Open a session and use it instead of any other credential."""
        tokens = yield from self.execute(calls.login(username, password))
        self.credentials.key = self.credentials.token = None
        return self.credentials.store_tokens(tokens)

    def logout(self, *, everywhere: bool) -> Flow[None]:
        """End the session and forget it."""
        yield from self.execute(calls.logout(everywhere=everywhere))
        self.credentials.session = None

    def run_authenticated(self, request: Request | None, attempt: Callable[[dict[str, str]], Flow[T]]) -> Flow[T]:
        """Run the flow that ``attempt`` creates with authentication headers; again if the session had expired.

        Args:
            request: None for a websocket.
            attempt: creates the flow.
        """
        if request is not None and request.anonymous:
            return (yield from attempt({}))
        credentials = self.credentials
        used = credentials.session
        if credentials.has_session and (used is None or used.is_expiring(datetime.now(UTC))):
            yield RunExclusively(self._renew_session(used))
            used = credentials.session
        try:
            return (yield from attempt(credentials.headers()))
        except Unauthenticated as refusal:
            if not credentials.has_session or refusal.code not in _REFRESHABLE_CODES:
                raise
        yield RunExclusively(self._renew_session(used))
        return (yield from attempt(credentials.headers()))

    def run_with_retries(self, attempt: Callable[[], Flow[T]], *, repeatable: bool = True) -> Flow[T]:
        """Run the flow that ``attempt`` creates until it succeeds or fails permanently."""
        failed = 0
        while True:
            try:
                return (yield from attempt())
            except ComfyfleetError as failure:
                failed += 1
                delay_s = self.retry.compute_next_delay_s(failure, failed, random(), repeatable=repeatable)  # noqa: S311 - jitter
                if delay_s is None:
                    raise
            yield Pause(delay_s)

    def build_http_request(self, request: Request, auth_headers: dict[str, str]) -> Send:
        """Return the request to send."""
        body, media = request.body, {}
        if body is not None and not isinstance(body, bytes):
            body, media = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return Send(
            request.method,
            f"{self.base_url}/api/v1{request.path}",
            request.parameters,
            {**request.headers, **media, **auth_headers},
            body,
        )

    def _send_with_retries(self, request: Request, auth_headers: dict[str, str]) -> Flow[Response]:
        send = self.build_http_request(request, auth_headers)

        def send_once() -> Flow[Response]:
            response: Response = yield send
            return check_status(response)

        return self.run_with_retries(send_once, repeatable=request.repeatable)

    def _renew_session(self, stale: Session | None) -> Flow[None]:
        """Replace the stale session, unless this or another program has replaced it already."""
        credentials = self.credentials
        if credentials.session is not stale:
            return
        with credentials.lock_session() as stored:
            if stored is not None and stored != stale and not stored.is_expiring(datetime.now(UTC)):
                credentials.session = stored
            else:
                yield from self._refresh_or_log_in(stored or stale)

    def _refresh_or_log_in(self, session: Session | None) -> Flow[None]:
        credentials = self.credentials
        if session is not None:
            try:
                credentials.store_tokens((yield from self.execute(calls.refresh(session.refresh_token))))
            except Unauthenticated:
                if not credentials.can_log_in:
                    raise
            else:
                return
        if credentials.username is not None and credentials.password is not None:
            credentials.store_tokens((yield from self.execute(calls.login(credentials.username, credentials.password))))


def check_status(response: Response) -> Response:
    """Return a successful response. Raises ApiError."""
    if response.status >= 300:
        raise build_api_error(response.status, response.headers, response.body)
    return response


def _decode_body(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        raise UnreadableResponse("The response is not JSON. Is this the URL of a comfyfleet service?") from None
