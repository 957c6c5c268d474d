"""A topic that is answered here: how its requests are read, decided and refused."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.gather import HEADER, Part, pack, unpack
from chassis.ids import request_id_from
from chassis.logs import bound, log
from chassis.offload import INLINE_BYTES, offload
from chassis.postgres import is_away
from contracts.wire.errors import STATUS, InvalidMessage, Refusal, Refused, Unavailable, field_errors
from contracts.wire.topic import Address, Rpc

Handler = Callable[[Any, Address], Awaitable[BaseModel]]
Together = Callable[[Sequence["Request"], Address], Awaitable[Sequence[BaseModel | Exception]]]
"""Answers the requests of one message, in order: each with its reply, its refusal or what else was raised for it."""
Reader = Callable[[bytes], BaseModel]
RefusalBody = Callable[[Refused], BaseModel]
Admit = Callable[[Address], Awaitable[None]]
"""Decides on a message before its payload is read: returns, or raises a refusal."""
Reply = tuple[bytes, dict[str, str]]

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
REQUEST_ID_HEADER = "Request-Id"
RETRY_AFTER_HEADER = "Retry-After"
OVERSIZED_HEADERS = "Oversized-Headers"  # stands for headers that were too large to be read; see chassis.bus


class Request(NamedTuple):
    """One request of a message. ``size_bytes``: of its payload as it was sent."""

    payload: Any
    request_id: str
    size_bytes: int = 0


def one_by_one(handler: Handler) -> Together:
    """Have a handler of single requests answer all of a message, each as if it had come alone."""

    async def alone(request: Request, address: Address) -> BaseModel:
        with _named(request.request_id):
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
    admit: Admit | None = None

    async def answer(self, message: Msg) -> Reply:
        """The reply to a message: of several requests, if it holds several. Raises nothing."""
        sent = message.headers or {}
        address = replace(self.topic.address(message.subject), headers=sent, size_bytes=len(message.data))
        if not (self.topic.gathers and HEADER in sent):
            request_id = sent.get(REQUEST_ID_HEADER, "")
            word = request_id_from(request_id) if request_id else ""
            return await self._admitted(Part(message.data, word), address)
        try:
            parts = unpack(message.data, sent)
        except ValueError:
            return self._refused(InvalidMessage(), "")
        replies = await self._replies(parts, address)
        return pack([Part(body, headers.get(ERROR_CODE_HEADER, "")) for body, headers in replies])

    async def _admitted(self, part: Part, address: Address) -> Reply:
        """The reply to the one request of a message."""
        if OVERSIZED_HEADERS in address.headers:
            return self._refused(InvalidMessage(), part.word)
        if self.admit is not None:
            try:
                with _named(part.word):
                    await self.admit(address)
            except Exception as error:  # noqa: BLE001 - the edge of a request
                return self._reply(error, part.word)
        return (await self._replies([part], address))[0]

    async def _replies(self, parts: Sequence[Part], address: Address) -> list[Reply]:
        read = [
            self._read(part) if len(part.body) <= INLINE_BYTES else await offload(self._read, part) for part in parts
        ]
        told = iter(await self._told([one for one in read if isinstance(one, Request)], address))
        answers = [next(told) if isinstance(one, Request) else one for one in read]
        return [self._reply(answer, part.word) for answer, part in zip(answers, parts, strict=True)]

    def _read(self, part: Part) -> Request | Exception:
        try:
            return Request(self.read(part.body), part.word, len(part.body))
        except ValidationError as error:
            return InvalidMessage(errors=field_errors(error))
        except Exception as error:  # noqa: BLE001 - a refusal, or a bug that must not end the others
            return error

    async def _told(self, requests: Sequence[Request], address: Address) -> list[BaseModel | Exception]:
        """What is said to each. For whom the database was away it is asked once more."""
        told = await self._handled(requests, address)
        away = [number for number, answer in enumerate(told) if isinstance(answer, Exception) and is_away(answer)]
        if away:
            log.warning("bus.asked_again", topic=self.topic.name, error=type(told[away[0]]).__name__)
            again = await self._handled([requests[number] for number in away], address)
            for number, answer in zip(away, again, strict=True):
                told[number] = answer
        return told

    async def _handled(self, requests: Sequence[Request], address: Address) -> list[BaseModel | Exception]:
        if not requests:
            return []
        try:
            return [answer for _, answer in zip(requests, await self.handler(requests, address), strict=True)]
        except Exception as error:  # noqa: BLE001 - each of them hears of it
            if len(requests) == 1 or isinstance(error, Refusal) or is_away(error):
                return [error] * len(requests)
            return [answer for one in requests for answer in await self._handled([one], address)]  # whose bug is it?

    def _reply(self, answer: BaseModel | Exception, request_id: str) -> Reply:
        if not isinstance(answer, Exception):
            try:
                return answer.model_dump_json().encode(), {}
            except Exception as bug:  # noqa: BLE001 - the edge of a request: a bug in one must not end the others
                answer = bug
        if isinstance(answer, Refusal):
            return self._refused(answer, request_id)
        with _named(request_id):
            if is_away(answer):
                log.warning("bus.dependency_away", topic=self.topic.name, error=type(answer).__name__)
            else:
                log.error("bus.handler_crashed", topic=self.topic.name, exc_info=answer)
        return self._refused(Unavailable(service=self.service, retry_after_s=1), request_id)

    def _refused(self, refusal: Refusal, request_id: str) -> Reply:
        refused = refusal.refused
        headers = {ERROR_HEADER: refused.code, ERROR_CODE_HEADER: str(STATUS[refused.kind])}
        if refused.retry_after_s is not None:
            headers[RETRY_AFTER_HEADER] = str(max(1, round(refused.retry_after_s)))
        with _named(request_id):
            body = self.refusal_body(refused) if self.refusal_body else refused
        return body.model_dump_json().encode(), headers


def _named(request_id: str) -> bound:
    """What is done here is done for that request."""
    return bound(**({"request_id": request_id} if request_id else {}))
