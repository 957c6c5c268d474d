"""Runs flows in an event loop."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

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


class AsyncRunner:
    """Executes steps with asyncio. Belongs to one event loop.

    Args:
        client: HTTP client; closed with the runner.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._exclusive_lock = asyncio.Lock()

    async def close(self) -> None:
        await self._client.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Run the flow and return its result; emitted values are dropped."""
        async with _WebSocket() as websocket:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration as done:
                    return done.value  # type: ignore[no-any-return]
                resume = await self._execute_and_resume(flow, step, websocket)

    async def iterate(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """Yield what the flow emits. Its websocket is closed with the iterator."""
        async with _WebSocket() as websocket:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration:
                    return
                if isinstance(step, EmitValue):
                    yield step.value
                resume = await self._execute_and_resume(flow, step, websocket)

    async def _execute_and_resume(self, flow: Flow[Any], step: Any, websocket: "_WebSocket") -> "partial[Any]":
        """Execute a step and return how to resume the flow: with its result, or its exception."""
        try:
            return partial(flow.send, await self._execute(step, websocket))
        except ComfyfleetError as failure:
            return partial(flow.throw, failure)

    async def _execute(self, step: Any, websocket: "_WebSocket") -> Any:
        match step:
            case Send():
                return await self._send(step)
            case FetchBody():
                return await self._fetch(step)
            case Pause():
                await asyncio.sleep(step.seconds)
                return None
            case RunExclusively():
                async with self._exclusive_lock:
                    return await self.run(step.flow)
            case _:
                return await websocket.execute(step)

    async def _send(self, send: Send) -> Response:
        try:
            response = await self._client.request(
                send.method, send.url, params=send.params, headers=send.headers, content=send.content
            )
        except httpx.HTTPError as error:
            raise build_unreachable_error(error) from error
        return Response(response.status_code, lower_case_names(response.headers), response.content)

    async def _fetch(self, fetch: FetchBody) -> Response:
        send = fetch.send
        try:
            async with self._client.stream(send.method, send.url, params=send.params, headers=send.headers) as response:
                headers = lower_case_names(response.headers)
                if not fetch.sink.accept_response(response.status_code, headers):
                    return Response(response.status_code, headers, await response.aread())
                async for chunk in response.aiter_raw():
                    fetch.sink.write(chunk)
                return Response(response.status_code, headers, b"")
        except httpx.HTTPError as error:
            raise build_unreachable_error(error) from error


class _WebSocket:
    """The websocket of one flow."""

    def __init__(self) -> None:
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> "_WebSocket":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def execute(self, step: Any) -> str | bytes | None:
        """Execute a step that concerns the websocket."""
        match step:
            case OpenWebSocket():
                await self._connect(step)
                return None
            case SendText():
                await self._send_text(step)
                return None
            case Receive():
                return await self._receive(step)
            case EmitValue():  # dropped
                return None
        raise TypeError(step)

    async def _connect(self, step: OpenWebSocket) -> None:
        await self.__aexit__()
        try:
            self._socket = await connect(step.url, additional_headers=step.headers, max_size=MAX_FRAME, close_timeout=1)
        except InvalidStatus as refused:
            raise build_handshake_error(refused) from refused
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
            raise ServerUnreachable(f"No websocket: {error}") from error

    async def _send_text(self, step: SendText) -> None:
        if self._socket is None:
            raise ServerUnreachable("There is no websocket.")
        try:
            await self._socket.send(step.text)
        except ConnectionClosed as closed:
            raise build_closed_error(closed) from closed

    async def _receive(self, step: Receive) -> str | bytes | None:
        if self._socket is None:
            raise ServerUnreachable("There is no websocket.")
        try:
            async with asyncio.timeout(step.within_s):
                return await self._socket.recv()
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise build_closed_error(closed) from closed
