"""A durable consumer of a stream: each message is handled at least once, or becomes a dead letter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from pydantic import BaseModel, ValidationError

from chassis.database.postgres import is_unavailable
from chassis.database.statement import Row
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import MAX_EXCERPT, DeadLetterStore, DeadMessage, Failure
from chassis.messaging.metadata import Metadata, read_stream_metadata
from chassis.offload import INLINE_BYTES, offload
from chassis.telemetry.logs import log
from contracts.wire.errors import InternalFault, InvalidMessage, MessageTooLarge, Unavailable, build_field_errors
from contracts.wire.topic import DurableConsumer

# nats-py 2.16: a fetch that was sent before the server restarted returns nothing until it times out
FETCH_TIMEOUT_S = 3.0
TICK_S = 30.0  # the loop counts a success at least this often, also under load
BATCH_SIZE = 100
BATCH_DELAY_S = 0.2  # messages that arrive within this time are handled together
UNAVAILABLE_TICK_S = 0.2  # pause between two ticks while NATS is unavailable
MISSING_STREAM_S = 1.0
DATABASE_WAIT_S = 30.0  # how long a batch waits for a database that is unavailable before its delivery counts as failed
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
MAX_FIRST_FAILURES = 10_000
UNKNOWN_TYPE = "message.unknown_type"

P = TypeVar("P", bound=BaseModel)


class ReceivedMessage(NamedTuple, Generic[P]):
    """One message of a stream."""

    payload: P
    metadata: Metadata


class RedeliverLater(Exception):
    """Raised by a handler that cannot handle messages yet. They are delivered again until it can."""


Handler = Callable[[Sequence[ReceivedMessage[P]]], Awaitable[None]]
"""Handles messages, all of them or, by raising, none. It must be idempotent."""


class StreamConsumer(Generic[P]):
    """Reads a stream as a durable consumer.

    The handler is called with up to ``BATCH_SIZE`` new messages in their order. They are acknowledged after it has
    returned. If it raises, each message is handled alone, so that one bad message does not fail the others. A message
    that fails is delivered again after a pause of the consumer's backoff, and is handled alone. After ``max_deliver``
    failures it becomes a dead letter. A message that cannot be decoded (not JSON, of an unknown shape or type, too
    large) becomes a dead letter at once. Later messages are handled meanwhile, so the order is not guaranteed.

    While the database is unavailable the handler is retried for up to ``DATABASE_WAIT_S`` seconds, which counts
    as one delivery. If a dead letter cannot be stored, its message stays in the stream and is delivered again. A
    message for which the handler raises ``RedeliverLater`` is delivered again after the same pauses, without a limit.

    The server does not limit deliveries (its ``max_deliver`` would drop a message without a trace): a message
    leaves the consumer acknowledged or as a dead letter.

    Args:
        consumer: declaration of the consumer.
        handler: handles the messages.
        dead_letters: stores messages that cannot be handled.
    """

    def __init__(
        self, bus: Bus, consumer: DurableConsumer[P], handler: Handler[P], dead_letters: DeadLetterStore
    ) -> None:
        self._bus, self._consumer, self._handler, self._dead_letters = bus, consumer, handler, dead_letters
        self._stream = consumer.stream.name
        self._first_failures: dict[int, datetime] = {}

    @property
    def key(self) -> tuple[str, str]:
        """Names of the stream and of the consumer, as in a dead letter."""
        return self._stream, self._consumer.name

    def loop(self, name: str) -> Loop:
        """Return the loop that consumes."""
        return Loop(name, self.tick, every_s=UNAVAILABLE_TICK_S)

    async def tick(self) -> None:
        """Handle messages for ``TICK_S`` seconds, or until ``FETCH_TIMEOUT_S`` pass without a message or connection."""
        if not self._bus.connected:
            return
        jetstream = self._bus.jetstream
        try:
            await self._ensure_consumer()
            subscription = await jetstream.pull_subscribe_bind(self._consumer.name, stream=self._stream)
        except NotFoundError:
            log.info("streams.waiting_for_stream", stream=self._stream)
            await asyncio.sleep(MISSING_STREAM_S)
            return
        try:
            until = monotonic() + TICK_S
            while monotonic() < until:
                await self._handle_messages(await subscription.fetch(BATCH_SIZE, timeout=FETCH_TIMEOUT_S))
                await asyncio.sleep(BATCH_DELAY_S)
        except NatsError as error:
            log.debug("streams.idle", error=type(error).__name__)
        finally:
            with suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def redrive(self, row: Row) -> Failure | None:
        """Handle the message of a dead letter again. Returns why it failed again, None if it did not.

        Raises:
            OSError, asyncpg.PostgresError: the database is unavailable.
        """
        payload = await self._read_payload(row["subject"], row["payload"])
        if isinstance(payload, Failure):
            return payload
        address = self._consumer.topic.parse_subject(row["subject"])
        metadata = Metadata(
            row["subject"], address.tenant, address.key, row["sequence"], row["published_at"], row["attempts"] + 1
        )
        failure = await self._call_handler([ReceivedMessage(payload, metadata)])
        if failure is not None and failure.error is not None and _is_unavailable(failure.error):
            raise failure.error
        return failure

    async def _ensure_consumer(self) -> None:
        jetstream, topics = self._bus.jetstream, self._consumer.stream.topics
        try:
            await jetstream.consumer_info(self._stream, self._consumer.name)
        except NotFoundError:
            await jetstream.add_consumer(
                self._stream,
                ConsumerConfig(
                    durable_name=self._consumer.name,
                    deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._consumer.ack_wait_s,
                    filter_subject=self._consumer.topic.pattern if len(topics) > 1 else None,
                ),
            )

    async def _handle_messages(self, messages: list[Msg]) -> None:
        async with self._extend_ack_wait(messages):
            new: list[tuple[Msg, ReceivedMessage[P]]] = []
            again: list[tuple[Msg, ReceivedMessage[P]]] = []
            for message in messages:
                payload = await self._read_payload(message.subject, message.data)
                if isinstance(payload, Failure):
                    await self._store_dead_letter(message, payload)
                    continue
                received = ReceivedMessage(payload, read_stream_metadata(self._consumer.topic, message))
                (again if received.metadata.redelivered else new).append((message, received))
            give_up_at = monotonic() + DATABASE_WAIT_S
            if len(new) > 1:
                failure = await self._call_until_available([received for _, received in new], give_up_at)
                if failure is None or _fails_every_message(failure):
                    for message, _ in new:
                        await self._settle_message(message, failure)
                    new = []
            for message, received in new + again:
                await self._settle_message(message, await self._call_until_available([received], give_up_at))

    async def _call_until_available(self, received: Sequence[ReceivedMessage[P]], give_up_at: float) -> Failure | None:
        pause_s = FIRST_PAUSE_S
        while True:
            failure = await self._call_handler(received)
            unavailable = failure is not None and failure.error is not None and _is_unavailable(failure.error)
            if not unavailable or monotonic() + pause_s > give_up_at:
                return failure
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _call_handler(self, received: Sequence[ReceivedMessage[P]]) -> Failure | None:
        try:
            await self._handler(received)
        except RedeliverLater as error:
            log.info("streams.redelivery_requested", consumer=self._consumer.name, reason=str(error))
            return Failure(Unavailable.code, str(error), error)
        except Exception as error:  # noqa: BLE001 - the edge of a message: it is delivered again or becomes a dead letter
            reason = f"{type(error).__name__}: {error}"
            if _is_unavailable(error):
                log.warning("streams.dependency_unavailable", consumer=self._consumer.name, reason=reason)
                return Failure(Unavailable.code, reason, error)
            log.warning("streams.handler_failed", consumer=self._consumer.name, messages=len(received), exc_info=error)
            return Failure(InternalFault.code, reason, error)
        return None

    async def _settle_message(self, message: Msg, failure: Failure | None) -> None:
        """Acknowledge a message that was handled; else have it delivered again or store it as a dead letter."""
        metadata = message.metadata
        if failure is None:
            self._first_failures.pop(metadata.sequence.stream, None)
            await _send_acknowledgement(message.ack())
        elif isinstance(failure.error, RedeliverLater):
            await self._request_redelivery(message)
        elif metadata.num_delivered >= self._consumer.max_deliver:
            await self._store_dead_letter(message, failure)
        else:
            if len(self._first_failures) >= MAX_FIRST_FAILURES:  # of messages that other replicas handled meanwhile
                self._first_failures.clear()
            self._first_failures.setdefault(metadata.sequence.stream, datetime.now(UTC))
            await self._request_redelivery(message)

    async def _request_redelivery(self, message: Msg) -> None:
        """Have a message delivered again after the consumer's pause."""
        await _send_acknowledgement(message.nak(self._consumer.redelivery_delay_s(message.metadata.num_delivered)))

    async def _store_dead_letter(self, message: Msg, failure: Failure) -> None:
        metadata, body, address = message.metadata, message.data, self._consumer.topic.parse_subject(message.subject)
        known = self._is_known_subject(message.subject)
        sequence = metadata.sequence.stream
        dead = DeadMessage(
            stream=self._stream,
            consumer=self._consumer.name,
            sequence=sequence,
            published_at=metadata.timestamp,
            subject=message.subject,
            tenant_id=_parse_uuid(address.tenant) if known else None,
            job_id=_parse_uuid(address.key) if known and self._consumer.topic.key == "job" else None,
            attempts=metadata.num_delivered,
            first_failed_at=self._first_failures.get(sequence, datetime.now(UTC)),
            excerpt=body[:MAX_EXCERPT],
            payload=body if len(body) <= self._consumer.max_bytes else None,
            size_bytes=len(body),
        )
        try:
            await self._dead_letters.add(dead, failure)
        except Exception as error:  # noqa: BLE001 - the message stays in the stream
            log.error("streams.dead_letter_not_stored", consumer=self._consumer.name, sequence=sequence, exc_info=error)
            await self._request_redelivery(message)
            return
        self._first_failures.pop(sequence, None)
        log.error(
            "streams.dead_letter",
            consumer=self._consumer.name,
            subject=message.subject,
            sequence=sequence,
            code=failure.code,
            reason=failure.reason[:200],
        )
        await _send_acknowledgement(message.term())

    async def _read_payload(self, subject: str, body: bytes) -> P | Failure:
        if len(body) > self._consumer.max_bytes:
            reason = f"It has {len(body)} bytes, the consumer takes {self._consumer.max_bytes}."
            return Failure(MessageTooLarge.code, reason)
        if not self._is_known_subject(subject):
            return Failure(UNKNOWN_TYPE, f"The consumer handles {self._consumer.topic.name} only.")
        parse = self._consumer.topic.payload.model_validate_json
        try:
            return await offload(parse, body) if len(body) > INLINE_BYTES else parse(body)
        except ValidationError as error:
            wrong = "; ".join(f"{each.pointer} {each.message}".strip() for each in build_field_errors(error)[:10])
            return Failure(InvalidMessage.code, wrong)

    def _is_known_subject(self, subject: str) -> bool:
        topic = self._consumer.topic
        tokens = subject.removeprefix(f"{topic.name}.").split(".")
        return subject.startswith(f"{topic.name}.") and len(tokens) == (2 if topic.key else 1)

    @asynccontextmanager
    async def _extend_ack_wait(self, messages: Sequence[Msg]) -> AsyncIterator[None]:
        """Tell the server that messages are still being handled, until each of them is settled."""

        async def extend() -> None:
            while True:
                await asyncio.sleep(self._consumer.ack_wait_s / 3)
                for message in messages:
                    if not message.is_acked:
                        await _send_acknowledgement(message.in_progress())

        task = asyncio.create_task(extend())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _send_acknowledgement(acknowledgement: Awaitable[None]) -> None:
    """Send an acknowledgement. If it is lost, the message is delivered again."""
    with suppress(NatsError, OSError):
        await acknowledgement


def _fails_every_message(failure: Failure) -> bool:
    """Whether the messages of a batch fail for a reason that is not in one of them."""
    return failure.error is not None and (_is_unavailable(failure.error) or isinstance(failure.error, RedeliverLater))


def _is_unavailable(error: Exception) -> bool:
    return is_unavailable(error) or isinstance(error, Unavailable)


def _parse_uuid(token: str | None) -> UUID | None:
    try:
        return UUID(token or "")
    except ValueError:
        return None
