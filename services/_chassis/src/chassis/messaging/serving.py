"""A topic that is answered here: how its requests are read, decided and refused."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.database.postgres import is_unavailable, is_unstorable
from chassis.ids import request_id_from
from chassis.messaging.gather import HEADER, Part, pack, unpack
from chassis.offload import INLINE_BYTES, offload
from chassis.telemetry.logs import bound, log
from contracts.wire.errors import STATUS, InternalFault, InvalidMessage, Refusal, Refused, Unavailable, field_errors
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
OVERSIZED_HEADERS = "Oversized-Headers"  # stands for headers that were too large to be read; see chassis.messaging.bus


class Request(NamedTuple):
    """One request of a message. ``size_bytes``: of its payload as it was sent."""

    payload: Any
    request_id: str
    size_bytes: int = 0


class Failed(NamedTuple):
    """A request that can never be answered: its message makes no sense, cannot be stored, or meets a bug.

    Attributes:
        subject: that it was sent to.
        body: what was sent.
        code: of the refusal that it was answered with.
        reason: for operators; may repeat what was sent.
    """

    subject: str
    address: Address
    body: bytes
    request_id: str
    code: str
    reason: str


WhenFailed = Callable[[Failed], Awaitable[None]]


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
    when_failed: WhenFailed | None = None

    async def answer(self, message: Msg) -> Reply:
        """The reply to a message: of several requests, if it holds several. Raises nothing."""
        sent = message.headers or {}
        address = replace(self.topic.address(message.subject), headers=sent, size_bytes=len(message.data))
        if not (self.topic.gathers and HEADER in sent):
            request_id = sent.get(REQUEST_ID_HEADER, "")
            word = request_id_from(request_id) if request_id else ""
            return await self._admitted(Part(message.data, word), address, message.subject)
        try:
            parts = unpack(message.data, sent)
        except ValueError:
            return self.refused(InvalidMessage(), "")
        replies = await self._replies(parts, address, message.subject)
        return pack([Part(body, headers.get(ERROR_CODE_HEADER, "")) for body, headers in replies])

    async def _admitted(self, part: Part, address: Address, subject: str) -> Reply:
        """The reply to the one request of a message."""
        if OVERSIZED_HEADERS in address.headers:
            return self.refused(InvalidMessage(), part.word)
        if self.admit is not None:
            try:
                with _named(part.word):
                    await self.admit(address)
            except Exception as error:  # noqa: BLE001 - the edge of a request
                return self._reply(error, part.word)[0]
        return (await self._replies([part], address, subject))[0]

    async def _replies(self, parts: Sequence[Part], address: Address, subject: str) -> list[Reply]:
        read = [
            self._read(part) if len(part.body) <= INLINE_BYTES else await offload(self._read, part) for part in parts
        ]
        told = iter(await self._told([one for one in read if isinstance(one, Request)], address))
        answers = [next(told) if isinstance(one, Request) else one for one in read]
        replies = []
        for answer, part in zip(answers, parts, strict=True):
            reply, failure = self._reply(answer, part.word)
            if failure is not None and self.when_failed is not None:
                code = reply[1][ERROR_HEADER]
                await self._tell_failed(Failed(subject, address, part.body, part.word, code, _reason(failure)))
            replies.append(reply)
        return replies

    async def _tell_failed(self, failed: Failed) -> None:
        if self.when_failed is None:
            return
        try:
            with _named(failed.request_id):
                await self.when_failed(failed)
        except Exception:  # noqa: BLE001 - the edge of a request: it is answered all the same
            log.exception("bus.failure_not_noted", topic=self.topic.name)

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
        away = [
            number for number, answer in enumerate(told) if isinstance(answer, Exception) and is_unavailable(answer)
        ]
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
            if len(requests) == 1 or isinstance(error, Refusal) or is_unavailable(error):
                return [error] * len(requests)
            return [answer for one in requests for answer in await self._handled([one], address)]  # whose bug is it?

    def _reply(self, answer: BaseModel | Exception, request_id: str) -> tuple[Reply, Exception | None]:
        """The reply, and why the request can never be answered, if so."""
        if not isinstance(answer, Exception):
            try:
                return (answer.model_dump_json().encode(), {}), None
            except Exception as bug:  # noqa: BLE001 - the edge of a request: a bug in one must not end the others
                answer = bug
        if isinstance(answer, Refusal):
            return self.refused(answer, request_id), answer if isinstance(answer, InvalidMessage) else None
        with _named(request_id):
            if is_unavailable(answer):
                log.warning("bus.dependency_away", topic=self.topic.name, error=type(answer).__name__)
                return self.refused(Unavailable(service=self.service, retry_after_s=1), request_id), None
            if is_unstorable(answer):
                log.warning("bus.message_unstorable", topic=self.topic.name, error=str(answer))
                return self.refused(InvalidMessage(), request_id), answer
            log.error("bus.handler_crashed", topic=self.topic.name, exc_info=answer)
        return self.refused(InternalFault(), request_id), answer

    def refused(self, refusal: Refusal, request_id: str) -> Reply:
        """The reply that refuses."""
        refused = refusal.refused
        headers = {ERROR_HEADER: refused.code, ERROR_CODE_HEADER: str(STATUS[refused.kind])}
        if refused.retry_after_s is not None:
            headers[RETRY_AFTER_HEADER] = str(max(1, round(refused.retry_after_s)))
        with _named(request_id):
            body = self.refusal_body(refused) if self.refusal_body else refused
        return body.model_dump_json().encode(), headers


def _reason(failure: Exception) -> str:
    if isinstance(failure, Refusal):
        wrong = "; ".join(f"{error.pointer} {error.code}" for error in failure.refused.errors[:10])
        return f"{failure.refused.message} {wrong}".strip()
    return f"{type(failure).__name__}: {failure}"


def _named(request_id: str) -> bound:
    """What is done here is done for that request."""
    return bound(**({"request_id": request_id} if request_id else {}))
