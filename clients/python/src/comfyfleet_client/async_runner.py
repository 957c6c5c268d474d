"""Runs flows in an event loop."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from comfyfleet_client.errors import ComfyfleetError, Unreachable
from comfyfleet_client.http import MAX_FRAME, lost, lower, of_handshake, socket_closed
from comfyfleet_client.steps import Alone, Answer, Connect, Emit, Fetch, Flow, Pause, Receive, Say, Send

T = TypeVar("T")


class AsyncRunner:
    """Executes steps with asyncio. Belongs to one event loop.

    Args:
        client: HTTP client; closed with the runner.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._alone = asyncio.Lock()

    async def close(self) -> None:
        await self._client.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Run the flow and return its result; emitted values are dropped."""
        async with _Line() as line:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration as done:
                    return done.value  # type: ignore[no-any-return]
                resume = await self._resumption(flow, step, line)

    async def iterate(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """Yield what the flow emits. Its websocket is closed with the iterator."""
        async with _Line() as line:
            resume = partial(next, flow)
            while True:
                try:
                    step = resume()
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    yield step.value
                resume = await self._resumption(flow, step, line)

    async def _resumption(self, flow: Flow[Any], step: Any, line: "_Line") -> "partial[Any]":
        """Execute a step and return how to resume the flow: with its result, or its exception."""
        try:
            return partial(flow.send, await self._do(step, line))
        except ComfyfleetError as failure:
            return partial(flow.throw, failure)

    async def _do(self, step: Any, line: "_Line") -> Any:
        match step:
            case Send():
                return await self._send(step)
            case Fetch():
                return await self._fetch(step)
            case Pause():
                await asyncio.sleep(step.seconds)
                return None
            case Alone():
                async with self._alone:
                    return await self.run(step.flow)
            case _:
                return await line.take(step)

    async def _send(self, send: Send) -> Answer:
        try:
            answer = await self._client.request(
                send.method, send.url, params=send.params, headers=send.headers, content=send.content
            )
        except httpx.HTTPError as error:
            raise lost(error) from error
        return Answer(answer.status_code, lower(answer.headers), answer.content)

    async def _fetch(self, fetch: Fetch) -> Answer:
        send = fetch.send
        try:
            async with self._client.stream(send.method, send.url, params=send.params, headers=send.headers) as answer:
                headers = lower(answer.headers)
                if not fetch.sink.begin(answer.status_code, headers):
                    return Answer(answer.status_code, headers, await answer.aread())
                async for chunk in answer.aiter_raw():
                    fetch.sink.write(chunk)
                return Answer(answer.status_code, headers, b"")
        except httpx.HTTPError as error:
            raise lost(error) from error


class _Line:
    """The websocket of one flow."""

    def __init__(self) -> None:
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> "_Line":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def take(self, step: Any) -> str | bytes | None:
        """Execute a step that concerns the websocket."""
        match step:
            case Connect():
                await self._connect(step)
                return None
            case Say():
                await self._say(step)
                return None
            case Receive():
                return await self._receive(step)
            case Emit():  # dropped
                return None
        raise TypeError(step)

    async def _connect(self, step: Connect) -> None:
        await self.__aexit__()
        try:
            self._socket = await connect(step.url, additional_headers=step.headers, max_size=MAX_FRAME, close_timeout=1)
        except InvalidStatus as refused:
            raise of_handshake(refused) from refused
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
            raise Unreachable(f"No websocket: {error}") from error

    async def _say(self, step: Say) -> None:
        if self._socket is None:
            raise Unreachable("There is no websocket.")
        try:
            await self._socket.send(step.text)
        except ConnectionClosed as closed:
            raise socket_closed(closed) from closed

    async def _receive(self, step: Receive) -> str | bytes | None:
        if self._socket is None:
            raise Unreachable("There is no websocket.")
        try:
            async with asyncio.timeout(step.within_s):
                return await self._socket.recv()
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise socket_closed(closed) from closed
