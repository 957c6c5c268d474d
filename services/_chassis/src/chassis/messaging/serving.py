"""Handles requests on a topic: decoding, calling the handler, replies and refusals."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.database.postgres import is_unavailable, is_unstorable
from chassis.ids import choose_request_id
from chassis.messaging.deadlines import DEADLINE_HEADER, RequestExpired, has_passed
from chassis.offload import INLINE_BYTES, offload
from chassis.telemetry.logs import bound, log
from contracts.wire.errors import (
    HTTP_STATUS,
    InternalFault,
    InvalidMessage,
    Refusal,
    RefusalDetails,
    Unavailable,
    build_field_errors,
)
from contracts.wire.topic import Address, Rpc

Handler = Callable[[Any, Address], Awaitable[BaseModel]]
Reader = Callable[[bytes], BaseModel]
RefusalBody = Callable[[RefusalDetails], BaseModel]
Admit = Callable[[Address], Awaitable[None]]
"""Decides on a message before its payload is read: returns, or raises a refusal."""
ReadDeadline = Callable[[str | None], float | None]
"""Converts the header of a deadline to ``time.monotonic()``; it may refuse."""
Reply = tuple[bytes, dict[str, str]]
"""Body and headers."""

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
REQUEST_ID_HEADER = "Request-Id"
RETRY_AFTER_HEADER = "Retry-After"
OVERSIZED_HEADERS = "Oversized-Headers"  # stands for headers that were too large to be read; see chassis.messaging.bus


class Failed(NamedTuple):
    """A request that cannot be answered: it is malformed, cannot be stored, or triggers a bug.

    Attributes:
        subject: subject of the request.
        body: body of the request.
        code: error code of the reply.
        reason: for operators; can repeat parts of the body.
    """

    subject: str
    address: Address
    body: bytes
    request_id: str
    code: str
    reason: str


WhenFailed = Callable[[Failed], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServedTopic:
    """One topic, answered by ``service``; see ``Bus.serve``.

    A request whose deadline has passed is refused without calling the handler.

    Attributes:
        expired: number of requests that were not executed because their deadline had passed, by name of the topic.
    """

    service: str
    topic: Rpc[Any, Any]
    handler: Handler
    read: Reader
    read_deadline: ReadDeadline
    expired: Counter[str]
    refusal_body: RefusalBody | None = None
    admit: Admit | None = None
    when_failed: WhenFailed | None = None

    async def answer(self, message: Msg) -> Reply:
        """Return the reply to a request. Never raises."""
        sent = message.headers or {}
        request_id = choose_request_id(sent[REQUEST_ID_HEADER]) if sent.get(REQUEST_ID_HEADER) else ""
        address = replace(self.topic.parse_subject(message.subject), headers=sent, size_bytes=len(message.data))
        with bound(**({"request_id": request_id} if request_id else {})):
            try:
                deadline = self.read_deadline(sent.get(DEADLINE_HEADER))
                return await self._call_handler(message.data, replace(address, deadline=deadline))
            except Exception as error:  # noqa: BLE001 - the edge of a request
                reply, failure = self._to_refusal(error)
            if failure is not None and self.when_failed is not None:
                code = reply[1][ERROR_HEADER]
                failed = Failed(message.subject, address, message.data, request_id, code, _describe_failure(failure))
                await self._report_failure(self.when_failed, failed)
            return reply

    async def _call_handler(self, body: bytes, address: Address) -> Reply:
        """Return the handler's reply. Calls the handler a second time if the database was unavailable."""
        if OVERSIZED_HEADERS in address.headers:
            raise InvalidMessage
        self._check_deadline(address)
        if self.admit is not None:
            await self.admit(address)
        payload = await self._read_payload(body)
        try:
            self._check_deadline(address)
            answer = await self.handler(payload, address)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("bus.asked_again", topic=self.topic.name, error=type(error).__name__)
            self._check_deadline(address)
            answer = await self.handler(payload, address)
        return answer.model_dump_json().encode(), {}

    def _check_deadline(self, address: Address) -> None:
        if has_passed(address.deadline):
            raise RequestExpired(service=self.service, retry_after_s=1)

    async def _read_payload(self, body: bytes) -> BaseModel:
        try:
            return self.read(body) if len(body) <= INLINE_BYTES else await offload(self.read, body)
        except ValidationError as error:
            raise InvalidMessage(errors=build_field_errors(error)) from None

    async def _report_failure(self, report: WhenFailed, failed: Failed) -> None:
        try:
            await report(failed)
        except Exception:  # noqa: BLE001 - the request is answered all the same
            log.exception("bus.failure_not_noted", topic=self.topic.name)

    def _to_refusal(self, error: Exception) -> tuple[Reply, Exception | None]:
        """Return the refusal that answers an error; the error too if the request can never be answered."""
        if isinstance(error, RequestExpired):
            self.expired[self.topic.name] += 1
            log.warning("bus.request_expired", topic=self.topic.name)
        if isinstance(error, Refusal):
            return self.refused(error), error if isinstance(error, InvalidMessage) else None
        if is_unavailable(error):
            log.warning("bus.dependency_away", topic=self.topic.name, error=type(error).__name__)
            return self.refused(Unavailable(service=self.service, retry_after_s=1)), None
        if is_unstorable(error):
            log.warning("bus.message_unstorable", topic=self.topic.name, error=str(error))
            return self.refused(InvalidMessage()), error
        log.error("bus.handler_crashed", topic=self.topic.name, exc_info=error)
        return self.refused(InternalFault()), error

    def refused(self, refusal: Refusal) -> Reply:
        """Return the reply that carries a refusal."""
        refused = refusal.details
        headers = {ERROR_HEADER: refused.code, ERROR_CODE_HEADER: str(HTTP_STATUS[refused.kind])}
        if refused.retry_after_s is not None:
            headers[RETRY_AFTER_HEADER] = str(max(1, round(refused.retry_after_s)))
        body = self.refusal_body(refused) if self.refusal_body else refused
        return body.model_dump_json().encode(), headers


def _describe_failure(failure: Exception) -> str:
    if isinstance(failure, Refusal):
        wrong = "; ".join(f"{error.pointer} {error.code}" for error in failure.details.errors[:10])
        return f"{failure.details.message} {wrong}".strip()
    return f"{type(failure).__name__}: {failure}"
