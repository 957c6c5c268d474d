"""A topic that is answered here: how its requests are read, decided and refused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.gather import HEADER, Part, pack, unpack
from chassis.logs import bound, log
from chassis.postgres import is_away
from contracts.wire.errors import STATUS, InvalidMessage, Refusal, Refused, Unavailable, field_errors
from contracts.wire.topic import Address, Rpc

Handler = Callable[[Any, Address], Awaitable[BaseModel]]
Reader = Callable[[bytes], BaseModel]
RefusalBody = Callable[[Refused], BaseModel]
Reply = tuple[bytes, dict[str, str]]

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
REQUEST_ID_HEADER = "Request-Id"


@dataclass(frozen=True, slots=True)
class Served:
    """One topic, answered by ``service``; see ``Bus.serve``."""

    service: str
    topic: Rpc[Any, Any]
    handler: Handler
    read: Reader
    refusal_body: RefusalBody | None

    async def answer(self, message: Msg) -> Reply:
        """The reply to a message: of several requests, if it holds several. Raises nothing."""
        sent = message.headers or {}
        address = replace(self.topic.address(message.subject), headers=sent)
        if HEADER not in sent:
            return await self._one(message.data, sent.get(REQUEST_ID_HEADER, ""), address)
        try:
            parts = unpack(message.data, sent)
        except ValueError:
            return self._refused(InvalidMessage())
        replies = await asyncio.gather(*[self._one(part.body, part.word, address) for part in parts])
        return pack([Part(body, headers.get(ERROR_CODE_HEADER, "")) for body, headers in replies])

    async def _one(self, data: bytes, request_id: str, address: Address) -> Reply:
        with bound(**({"request_id": request_id} if request_id else {})):
            try:
                return await self._decided(data, address)
            except Exception:  # noqa: BLE001 - the edge of a request: a bug in one must not end the others
                log.exception("bus.handler_crashed", topic=self.topic.name)
                return self._refused(Unavailable(service=self.service, retry_after_s=1))

    async def _decided(self, data: bytes, address: Address) -> Reply:
        try:
            payload = self.read(data)
        except ValidationError as error:
            return self._refused(InvalidMessage(errors=field_errors(error)))
        except Refusal as refusal:
            return self._refused(refusal)
        for last in (False, True):
            try:
                reply = await self.handler(payload, address)
                return reply.model_dump_json().encode(), {}
            except Refusal as refusal:
                return self._refused(refusal)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("bus.dependency_away", topic=self.topic.name, error=type(error).__name__)
                if last:
                    break
        return self._refused(Unavailable(service=self.service, retry_after_s=1))

    def _refused(self, refusal: Refusal) -> Reply:
        refused = refusal.refused
        headers = {ERROR_HEADER: refused.code, ERROR_CODE_HEADER: str(STATUS[refused.kind])}
        body = self.refusal_body(refused) if self.refusal_body else refused
        return body.model_dump_json().encode(), headers
