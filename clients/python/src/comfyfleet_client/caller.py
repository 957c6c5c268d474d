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
from comfyfleet_client.errors import ComfyfleetError, Unauthenticated, Unreadable, api_error
from comfyfleet_client.retry import Retry
from comfyfleet_client.steps import Alone, Answer, Flow, Pause, Send

T = TypeVar("T")


@dataclass(slots=True)
class Caller:
    """Everything of a client except its connections.

    Attributes:
        base_url: of the service, without ``/api/v1``.
    """

    base_url: str
    credentials: Credentials
    retry: Retry = field(default_factory=Retry)

    def ask(self, call: Call[T]) -> Flow[T]:
        """Execute a call and parse its response."""
        answer = yield from self.signed(call.request, lambda signature: self._tried(call.request, signature))
        return call.read(_decoded(answer.body))

    def login(self, username: str, password: str) -> Flow[Session]:
        """Open a session and use it instead of any other credential."""
        tokens = yield from self.ask(calls.login(username, password))
        self.credentials.key = self.credentials.token = None
        return self.credentials.keep(tokens)

    def logout(self, *, everywhere: bool) -> Flow[None]:
        """End the session and forget it."""
        yield from self.ask(calls.logout(everywhere=everywhere))
        self.credentials.session = None

    def signed(self, request: Request | None, attempt: Callable[[dict[str, str]], Flow[T]]) -> Flow[T]:
        """Run the flow that ``attempt`` creates with authentication headers; again if the session had expired.

        Args:
            request: None for a websocket.
            attempt: creates the flow.
        """
        if request is not None and request.anonymous:
            return (yield from attempt({}))
        credentials = self.credentials
        used = credentials.session
        if credentials.has_session and (used is None or used.ends_soon(datetime.now(UTC))):
            yield Alone(self._renew(used))
            used = credentials.session
        try:
            return (yield from attempt(credentials.headers()))
        except Unauthenticated:
            if not credentials.has_session:
                raise
        yield Alone(self._renew(used))
        return (yield from attempt(credentials.headers()))

    def repeated(self, attempt: Callable[[], Flow[T]], *, repeatable: bool = True) -> Flow[T]:
        """Run the flow that ``attempt`` creates until it succeeds or fails permanently."""
        failed = 0
        while True:
            try:
                return (yield from attempt())
            except ComfyfleetError as failure:
                failed += 1
                pause_s = self.retry.pause_s(failure, failed, random(), repeatable=repeatable)  # noqa: S311 - jitter
                if pause_s is None:
                    raise
            yield Pause(pause_s)

    def sending(self, request: Request, signature: dict[str, str]) -> Send:
        """Return the request to send."""
        body, media = request.body, {}
        if body is not None and not isinstance(body, bytes):
            body, media = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return Send(
            request.method,
            f"{self.base_url}/api/v1{request.path}",
            request.parameters,
            {**request.headers, **media, **signature},
            body,
        )

    def _tried(self, request: Request, signature: dict[str, str]) -> Flow[Answer]:
        send = self.sending(request, signature)

        def once() -> Flow[Answer]:
            answer: Answer = yield send
            return accepted(answer)

        return self.repeated(once, repeatable=request.repeatable)

    def _renew(self, stale: Session | None) -> Flow[None]:
        """Replace the stale session, unless it was replaced already."""
        credentials = self.credentials
        if credentials.session is not stale:
            return
        if stale is not None:
            try:
                credentials.keep((yield from self.ask(calls.refresh(stale.refresh_token))))
            except Unauthenticated:
                if not credentials.can_log_in:
                    raise
            else:
                return
        if credentials.username is not None and credentials.password is not None:
            credentials.keep((yield from self.ask(calls.login(credentials.username, credentials.password))))


def accepted(answer: Answer) -> Answer:
    """Return a successful response. Raises ApiError."""
    if answer.status >= 300:
        raise api_error(answer.status, answer.headers, answer.body)
    return answer


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        raise Unreadable("The answer is no JSON. Is this the address of a comfyfleet?") from None
