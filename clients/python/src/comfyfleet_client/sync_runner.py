"""Runs flows with blocking calls."""

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from comfyfleet_client.errors import ComfyfleetError, ServerUnreachable
from comfyfleet_client.http import (
    MAX_FRAME,
    build_closed_error,
    build_handshake_error,
    build_unreachable_error,
    lower_case_names,
)
from comfyfleet_client.steps import (
    EmitValue,
    FetchBody,
    Flow,
    OpenWebSocket,
    Pause,
    Receive,
    Response,
    RunExclusively,
    Send,
    SendText,
)

T = TypeVar("T")


class SyncRunner:
    """Executes steps with blocking calls. Thread-safe.

    Args:
        client: HTTP client; closed with the runner.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._exclusive_lock = threading.Lock()

    def close(self) -> None:
        self._client.close()

    def run(self, flow: Flow[T]) -> T:
        """Run the flow and return its result; emitted values are dropped."""
        steps = self.iterate(flow)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    def iterate(self, flow: Flow[T]) -> Generator[Any, None, T]:
        """Yield what the flow emits. Its websocket is closed with the iterator."""
        with _WebSocket() as websocket:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration as done:
                    return done.value  # type: ignore[no-any-return]
                result = None
                if isinstance(step, EmitValue):
                    yield step.value
                else:
                    try:
                        result = self._execute(step, websocket)
                    except ComfyfleetError as failure:
                        resume = partial(flow.throw, failure)
                        continue
                resume = partial(flow.send, result)

    def _execute(self, step: Any, websocket: "_WebSocket") -> Any:
        match step:
            case Send():
                return self._send(step)
            case FetchBody():
                return self._fetch(step)
            case Pause():
                time.sleep(step.seconds)
                return None
            case RunExclusively():
                with self._exclusive_lock:
                    return self.run(step.flow)
            case _:
                return websocket.execute(step)

    def _send(self, send: Send) -> Response:
        try:
            response = self._client.request(
                send.method, send.url, params=send.params, headers=send.headers, content=send.content
            )
        except httpx.HTTPError as error:
            raise build_unreachable_error(error) from error
        return Response(response.status_code, lower_case_names(response.headers), response.content)

    def _fetch(self, fetch: FetchBody) -> Response:
        send = fetch.send
        try:
            with self._client.stream(send.method, send.url, params=send.params, headers=send.headers) as response:
                headers = lower_case_names(response.headers)
                if not fetch.sink.accept_response(response.status_code, headers):
                    return Response(response.status_code, headers, response.read())
                for chunk in response.iter_raw():
                    fetch.sink.write(chunk)
                return Response(response.status_code, headers, b"")
        except httpx.HTTPError as error:
            raise build_unreachable_error(error) from error


class _WebSocket:
    """The websocket of one flow."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._socket: ClientConnection | None = None

    def __enter__(self) -> "_WebSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket = None
        self._open.close()

    def execute(self, step: Any) -> str | bytes | None:
        """Execute a step that concerns the websocket."""
        match step:
            case OpenWebSocket():
                self._connect(step)
                return None
            case SendText():
                self._send_text(step)
                return None
            case Receive():
                return self._receive(step)
            case EmitValue():  # dropped
                return None
        raise TypeError(step)

    def _connect(self, step: OpenWebSocket) -> None:
        self.__exit__()
        opening = partial(connect, step.url, additional_headers=step.headers, max_size=MAX_FRAME, close_timeout=1)
        try:
            self._socket = self._open.enter_context(opening())
        except InvalidStatus as refused:
            raise build_handshake_error(refused) from refused
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
            raise ServerUnreachable(f"No websocket: {error}") from error

    def _send_text(self, step: SendText) -> None:
        if self._socket is None:
            raise ServerUnreachable("There is no websocket.")
        try:
            self._socket.send(step.text)
        except ConnectionClosed as closed:
            raise build_closed_error(closed) from closed

    def _receive(self, step: Receive) -> str | bytes | None:
        if self._socket is None:
            raise ServerUnreachable("There is no websocket.")
        try:
            return self._socket.recv(step.within_s)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise build_closed_error(closed) from closed
