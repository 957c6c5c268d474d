"""A topic that is answered here: how its requests are read, decided and refused."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.gather import HEADER, Part, pack, unpack
from chassis.logs import bound, log
from chassis.postgres import is_away
from contracts.wire.errors import STATUS, InvalidMessage, Refusal, Refused, Unavailable, field_errors
from contracts.wire.topic import Address, Rpc

Handler = Callable[[Any, Address], Awaitable[BaseModel]]
Together = Callable[[Sequence["Request"], Address], Awaitable[Sequence[BaseModel | Exception]]]
"""Answers the requests of one message, in order: each with its reply, its refusal or what else was raised for it."""
Reader = Callable[[bytes], BaseModel]
RefusalBody = Callable[[Refused], BaseModel]
Reply = tuple[bytes, dict[str, str]]

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
REQUEST_ID_HEADER = "Request-Id"


class Request(NamedTuple):
    """One request of a message."""

    payload: Any
    request_id: str


def one_by_one(handler: Handler) -> Together:
    """Have a handler of single requests answer all of a message, each as if it had come alone."""

    async def alone(request: Request, address: Address) -> BaseModel:
        with bound(**({"request_id": request.request_id} if request.request_id else {})):
            return await handler(request.payload, address)

    async def together(requests: Sequence[Request], address: Address) -> Sequence[BaseModel | Exception]:
        if len(requests) == 1:  # needs no task of its own
            return [await alone(requests[0], address)]
        told = await asyncio.gather(*[alone(request, address) for request in requests], return_exceptions=True)
        return cast("list[BaseModel | Exception]", told)  # nobody cancels one of them

    return together


@dataclass(frozen=True, slots=True)
class Served:
    """One topic, answered by ``service``; see ``Bus.serve``."""

    service: str
    topic: Rpc[Any, Any]
    handler: Together
    read: Reader
    refusal_body: RefusalBody | None = None

    async def answer(self, message: Msg) -> Reply:
        """The reply to a message: of several requests, if it holds several. Raises nothing."""
        sent = message.headers or {}
        address = replace(self.topic.address(message.subject), headers=sent)
        if HEADER not in sent:
            return (await self._replies([Part(message.data, sent.get(REQUEST_ID_HEADER, ""))], address))[0]
        try:
            parts = unpack(message.data, sent)
        except ValueError:
            return self._refused(InvalidMessage())
        replies = await self._replies(parts, address)
        return pack([Part(body, headers.get(ERROR_CODE_HEADER, "")) for body, headers in replies])

    async def _replies(self, parts: Sequence[Part], address: Address) -> list[Reply]:
        read = [self._read(part) for part in parts]
        told = iter(await self._told([one for one in read if isinstance(one, Request)], address))
        return [self._reply(one, next(told)) if isinstance(one, Request) else self._refused(one) for one in read]

    def _read(self, part: Part) -> Request | Refusal:
        try:
            return Request(self.read(part.body), part.word)
        except ValidationError as error:
            return InvalidMessage(errors=field_errors(error))
        except Refusal as refusal:
            return refusal
        except Exception as bug:  # noqa: BLE001 - the edge of a request: a bug in one must not end the others
            return self._unanswered(part.word, bug)

    async def _told(self, requests: Sequence[Request], address: Address) -> list[BaseModel | Exception]:
        """What is said to each. For whom the database was away it is asked once more."""
        told = await self._handled(requests, address)
        away = [number for number, answer in enumerate(told) if isinstance(answer, Exception) and is_away(answer)]
        if away:
            log.warning("bus.dependency_away", topic=self.topic.name, error=type(told[away[0]]).__name__)
            again = await self._handled([requests[number] for number in away], address)
            for number, answer in zip(away, again, strict=True):
                told[number] = answer
        return told

    async def _handled(self, requests: Sequence[Request], address: Address) -> list[BaseModel | Exception]:
        try:
            return [*await self.handler(requests, address)] if requests else []
        except Exception as error:  # noqa: BLE001 - each of them hears of it
            return [error] * len(requests)

    def _reply(self, request: Request, answer: BaseModel | Exception) -> Reply:
        if isinstance(answer, Refusal):
            return self._refused(answer)
        if isinstance(answer, Exception):
            return self._refused(self._unanswered(request.request_id, answer))
        try:
            return answer.model_dump_json().encode(), {}
        except Exception as bug:  # noqa: BLE001 - the edge of a request: a bug in one must not end the others
            return self._refused(self._unanswered(request.request_id, bug))

    def _unanswered(self, request_id: str, error: Exception) -> Refusal:
        with bound(**({"request_id": request_id} if request_id else {})):
            if is_away(error):
                log.warning("bus.dependency_away", topic=self.topic.name, error=type(error).__name__)
            else:
                log.error("bus.handler_crashed", topic=self.topic.name, exc_info=error)
        return Unavailable(service=self.service, retry_after_s=1)

    def _refused(self, refusal: Refusal) -> Reply:
        refused = refusal.refused
        headers = {ERROR_HEADER: refused.code, ERROR_CODE_HEADER: str(STATUS[refused.kind])}
        body = self.refusal_body(refused) if self.refusal_body else refused
        return body.model_dump_json().encode(), headers
