"""Runs a flow of the client with prepared responses and records its requests."""

import json
from collections.abc import Iterable
from typing import Any

from comfyfleet_client.caller import Caller
from comfyfleet_client.credentials import Credentials
from comfyfleet_client.errors import ComfyfleetError
from comfyfleet_client.retry import Retry
from comfyfleet_client.steps import EmitValue, FetchBody, Flow, Pause, Response, RunExclusively, Send

URL = "https://api.example"


def answer(status: int = 200, body: Any = None, **headers: str) -> Response:
    return Response(
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        b"" if body is None else json.dumps(body).encode(),
    )


def problem(status: int, **headers: str) -> Response:
    return answer(status, {"detail": "No.", "code": "test.no", "request_id": "r1"}, **headers)


def caller(retry: Retry | None = None, **proof: Any) -> Caller:
    return Caller(URL, Credentials(**proof), retry or Retry())


class Script:
    """The responses, in order. Exceptions are raised; a pair of a response and bytes is a body for a sink."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[Any] = []
        self.emitted: list[Any] = []

    def run(self, flow: Flow[Any]) -> Any:
        resume: Any = lambda: next(flow)  # noqa: E731
        while True:
            try:
                step = resume()
            except StopIteration as done:
                return done.value
            try:
                resume = self._sent(flow, self._do(step))
            except ComfyfleetError as failure:
                resume = self._thrown(flow, failure)

    def of(self, kind: type) -> list[Any]:
        return [step for step in self.asked if isinstance(step, kind)]

    @property
    def sent(self) -> list[Send]:
        return [
            step.send if isinstance(step, FetchBody) else step
            for step in self.asked
            if isinstance(step, Send | FetchBody)
        ]

    def is_over(self) -> bool:
        return not self._answers

    def _do(self, step: Any) -> Any:
        if isinstance(step, RunExclusively):
            return self.run(step.flow)
        if isinstance(step, EmitValue):
            return self.emitted.append(step.value)
        self.asked.append(step)
        return None if isinstance(step, Pause) else self._next(step)

    def _next(self, step: Any) -> Any:
        scripted = self._answers.pop(0)
        if isinstance(step, FetchBody):
            told, chunks, failure = scripted
            if not step.sink.accept_response(told.status, told.headers):
                return told
            self._pour(step, chunks)
            if failure:
                raise failure
            return told
        if isinstance(scripted, Exception):
            raise scripted
        return scripted

    @staticmethod
    def _pour(step: FetchBody, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            step.sink.write(chunk)

    @staticmethod
    def _sent(flow: Flow[Any], value: Any) -> Any:
        return lambda: flow.send(value)

    @staticmethod
    def _thrown(flow: Flow[Any], failure: Exception) -> Any:
        return lambda: flow.throw(failure)
