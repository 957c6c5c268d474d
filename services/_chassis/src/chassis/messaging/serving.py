"""Handles requests on a topic: decoding, calling the handler, replies and refusals."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from chassis.database.postgres import CommitUnknown, is_unavailable, is_unstorable
from chassis.ids import choose_request_id
from chassis.messaging.deadlines import DEADLINE_HEADER, RequestExpired, has_passed
from chassis.offload import INLINE_BYTES, offload
from chassis.telemetry.logs import log, log_context
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
Decoder = Callable[[bytes], Any]
RenderRefusal = Callable[[RefusalDetails], BaseModel]
CheckRequest = Callable[[Address], Awaitable[None]]
"""Checks a request before its payload is decoded: returns, or raises a refusal."""
ParseDeadline = Callable[[str | None], float | None]
"""Converts a deadline header to a time on ``time.monotonic()``; may raise a refusal."""
Reply = tuple[bytes, dict[str, str]]
"""Body and headers of a reply."""

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
REQUEST_ID_HEADER = "Request-Id"
RETRY_AFTER_HEADER = "Retry-After"
OVERSIZED_HEADERS = "Oversized-Headers"  # stands for headers that were too large to be read; see chassis.messaging.bus


class FailedRequest(NamedTuple):
    """A request that cannot be answered: it is malformed, cannot be stored, or triggers a bug.

    Attributes:
        subject: subject of the request.
        body: body of the request.
        code: error code of the reply.
        reason: what is wrong, for operators; can repeat parts of the body.
    """

    subject: str
    address: Address
    body: bytes
    request_id: str
    code: str
    reason: str


OnFailure = Callable[[FailedRequest], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServedTopic:
    """One topic, answered by ``service``; see ``Bus.serve``.

    A request whose deadline has passed is refused without calling the handler.

    Attributes:
        expired_requests: number of requests that were not executed because their deadline had passed, by topic name.
    """

    service: str
    topic: Rpc[Any, Any]
    handler: Handler
    decode: Decoder
    parse_deadline: ParseDeadline
    expired_requests: Counter[str]
    render_refusal: RenderRefusal | None = None
    check_request: CheckRequest | None = None
    on_failure: OnFailure | None = None

    async def answer(self, message: Msg) -> Reply:
        """Return the reply to a request. Never raises."""
        sent = message.headers or {}
        request_id = choose_request_id(sent[REQUEST_ID_HEADER]) if sent.get(REQUEST_ID_HEADER) else ""
        address = replace(self.topic.parse_subject(message.subject), headers=sent, size_bytes=len(message.data))
        with log_context(**({"request_id": request_id} if request_id else {})):
            try:
                deadline = self.parse_deadline(sent.get(DEADLINE_HEADER))
                return await self._call_handler(message.data, replace(address, deadline=deadline))
            except Exception as error:  # noqa: BLE001 - the edge of a request
                reply, failure = self._build_error_reply(error)
            if failure is not None and self.on_failure is not None:
                code = reply[1][ERROR_HEADER]
                failed = FailedRequest(
                    message.subject, address, message.data, request_id, code, _describe_failure(failure)
                )
                await self._report_failure(self.on_failure, failed)
            return reply

    async def _call_handler(self, body: bytes, address: Address) -> Reply:
        """Return the handler's reply. Calls the handler a second time if the database was unavailable.

        Not if a transaction may have committed: then a second call could fail although the first one succeeded.
        """
        if OVERSIZED_HEADERS in address.headers:
            raise InvalidMessage
        self._check_deadline(address)
        if self.check_request is not None:
            await self.check_request(address)
        payload = await self._read_payload(body)
        try:
            self._check_deadline(address)
            answer = await self.handler(payload, address)
        except Exception as error:
            if not is_unavailable(error) or isinstance(error, CommitUnknown):
                raise
            log.warning("bus.handler_retried", topic=self.topic.name, error=type(error).__name__)
            self._check_deadline(address)
            answer = await self.handler(payload, address)
        return answer.model_dump_json().encode(), {}

    def _check_deadline(self, address: Address) -> None:
        if has_passed(address.deadline):
            raise RequestExpired(service=self.service, retry_after_s=1)

    async def _read_payload(self, body: bytes) -> Any:
        try:
            return self.decode(body) if len(body) <= INLINE_BYTES else await offload(self.decode, body)
        except ValidationError as error:
            raise InvalidMessage(errors=build_field_errors(error)) from None

    async def _report_failure(self, report: OnFailure, failed: FailedRequest) -> None:
        try:
            await report(failed)
        except Exception:  # noqa: BLE001 - the request is answered all the same
            log.exception("bus.failure_report_failed", topic=self.topic.name)

    def _build_error_reply(self, error: Exception) -> tuple[Reply, Exception | None]:
        """Return the refusal that answers an error; the error too if the request can never be answered."""
        if isinstance(error, RequestExpired):
            self.expired_requests[self.topic.name] += 1
            log.warning("bus.request_expired", topic=self.topic.name)
        if isinstance(error, Refusal):
            return self.build_refusal_reply(error), error if isinstance(error, InvalidMessage) else None
        if is_unavailable(error):
            log.warning("bus.dependency_unavailable", topic=self.topic.name, error=type(error).__name__)
            return self.build_refusal_reply(Unavailable(service=self.service, retry_after_s=1)), None
        if is_unstorable(error):
            log.warning("bus.message_unstorable", topic=self.topic.name, error=str(error))
            return self.build_refusal_reply(InvalidMessage()), error
        log.error("bus.handler_crashed", topic=self.topic.name, exc_info=error)
        return self.build_refusal_reply(InternalFault()), error

    def build_refusal_reply(self, refusal: Refusal) -> Reply:
        """Return the reply that carries a refusal."""
        details = refusal.details
        headers = {ERROR_HEADER: details.code, ERROR_CODE_HEADER: str(HTTP_STATUS[details.kind])}
        if details.retry_after_s is not None:
            headers[RETRY_AFTER_HEADER] = str(max(1, round(details.retry_after_s)))
        body = self.render_refusal(details) if self.render_refusal else details
        return body.model_dump_json().encode(), headers


def _describe_failure(failure: Exception) -> str:
    if isinstance(failure, Refusal):
        wrong = "; ".join(f"{error.pointer} {error.code}" for error in failure.details.errors[:10])
        return f"{failure.details.message} {wrong}".strip()
    return f"{type(failure).__name__}: {failure}"
