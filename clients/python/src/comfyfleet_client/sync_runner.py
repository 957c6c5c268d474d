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

from comfyfleet_client.errors import ComfyfleetError, Unreachable
from comfyfleet_client.http import MAX_FRAME, lost, lower, of_handshake, socket_closed
from comfyfleet_client.steps import Alone, Answer, Connect, Emit, Fetch, Flow, Pause, Receive, Say, Send

T = TypeVar("T")


class SyncRunner:
    """Executes steps with blocking calls. Thread-safe.

    Args:
        client: HTTP client; closed with the runner.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._alone = threading.Lock()

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
        with _Line() as line:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration as done:
                    return done.value  # type: ignore[no-any-return]
                result = None
                if isinstance(step, Emit):
                    yield step.value
                else:
                    try:
                        result = self._do(step, line)
                    except ComfyfleetError as failure:
                        resume = partial(flow.throw, failure)
                        continue
                resume = partial(flow.send, result)

    def _do(self, step: Any, line: "_Line") -> Any:
        match step:
            case Send():
                return self._send(step)
            case Fetch():
                return self._fetch(step)
            case Pause():
                time.sleep(step.seconds)
                return None
            case Alone():
                with self._alone:
                    return self.run(step.flow)
            case _:
                return line.take(step)

    def _send(self, send: Send) -> Answer:
        try:
            answer = self._client.request(
                send.method, send.url, params=send.params, headers=send.headers, content=send.content
            )
        except httpx.HTTPError as error:
            raise lost(error) from error
        return Answer(answer.status_code, lower(answer.headers), answer.content)

    def _fetch(self, fetch: Fetch) -> Answer:
        send = fetch.send
        try:
            with self._client.stream(send.method, send.url, params=send.params, headers=send.headers) as answer:
                headers = lower(answer.headers)
                if not fetch.sink.begin(answer.status_code, headers):
                    return Answer(answer.status_code, headers, answer.read())
                for chunk in answer.iter_raw():
                    fetch.sink.write(chunk)
                return Answer(answer.status_code, headers, b"")
        except httpx.HTTPError as error:
            raise lost(error) from error


class _Line:
    """The websocket of one flow."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._socket: ClientConnection | None = None

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket = None
        self._open.close()

    def take(self, step: Any) -> str | bytes | None:
        """Execute a step that concerns the websocket."""
        match step:
            case Connect():
                self._connect(step)
                return None
            case Say():
                self._say(step)
                return None
            case Receive():
                return self._receive(step)
            case Emit():  # dropped
                return None
        raise TypeError(step)

    def _connect(self, step: Connect) -> None:
        self.__exit__()
        opening = partial(connect, step.url, additional_headers=step.headers, max_size=MAX_FRAME, close_timeout=1)
        try:
            self._socket = self._open.enter_context(opening())
        except InvalidStatus as refused:
            raise of_handshake(refused) from refused
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
            raise Unreachable(f"No websocket: {error}") from error

    def _say(self, step: Say) -> None:
        if self._socket is None:
            raise Unreachable("There is no websocket.")
        try:
            self._socket.send(step.text)
        except ConnectionClosed as closed:
            raise socket_closed(closed) from closed

    def _receive(self, step: Receive) -> str | bytes | None:
        if self._socket is None:
            raise Unreachable("There is no websocket.")
        try:
            return self._socket.recv(step.within_s)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise socket_closed(closed) from closed
