"""JetStream: declared by its owner, written through the outbox, read by durable pull consumers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError
from pydantic import BaseModel, ValidationError

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.wire.topic import Stream, Topic

FETCH_S = 3.0  # an outstanding fetch is deaf for this long after the server came back (nats-py 2.16)
BATCH = 100
GATHER_S = 0.2  # what comes meanwhile is handled together; whoever cannot wait listens to the live copy

P = TypeVar("P", bound=BaseModel)


async def declare(bus: Bus, streams: Iterable[Stream]) -> set[str]:
    """Make the streams that are missing, as declared; one that is there keeps the configuration that it has.

    Returns:
        The names of those that had to be made: whatever they once held is gone.
    """
    made = set()
    for stream in streams:
        config = _config(stream)
        try:
            await bus.jetstream.stream_info(stream.name)
        except NotFoundError:
            await bus.jetstream.add_stream(config)
            made.add(stream.name)
            log.info("streams.made", stream=stream.name)
    return made


def _config(stream: Stream) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        max_age=stream.max_age_s,
        max_bytes=stream.max_bytes,
        max_msgs_per_subject=stream.last_per_subject or -1,
        storage=StorageType.MEMORY if stream.memory else StorageType.FILE,
        discard=DiscardPolicy.OLD,
        duplicate_window=stream.duplicate_window_s,
        allow_direct=True,
        allow_atomic=not stream.memory,  # what nobody acknowledges is not written through the outbox
        no_ack=stream.memory,
    )


async def last(bus: Bus, stream: Stream, topic: Topic[P], subject: str) -> P | None:
    """The newest message of a subject, or None if there is none or nobody can say in half a second."""
    if not bus.connected:
        return None
    try:
        async with asyncio.timeout(0.5):
            asked = bus.jetstream.get_last_msg(stream.name, subject, direct=True)
            message = await asyncio.shield(asked)  # or a cancellation that meets the answer is lost: see Bus._send
        return topic.payload.model_validate_json(message.data or b"")
    except (NatsError, TimeoutError, ValidationError, OSError):
        return None


class Reader(Generic[P]):
    """Reads a stream as the service's durable consumer, each message at least once.

    The handler is called for up to ``BATCH`` messages at a time, in order. They are acknowledged together after it
    returned; when it raises, they come again. What cannot be decoded is logged and left out: it would not get better.
    """

    def __init__(self, bus: Bus, stream: Stream, topic: Topic[P], *, service: str) -> None:
        self._bus, self._stream, self._topic, self._service = bus, stream, topic, service

    async def tick(self, handler: Callable[[list[P]], Awaitable[None]]) -> None:
        """Handle what is there; return after at most ``FETCH_S`` without any. A duty for ``chassis.loop.Loop``."""
        if not self._bus.connected:
            return
        jetstream = self._bus.jetstream
        try:
            await jetstream.consumer_info(self._stream.name, self._service)
        except NotFoundError:
            await self._make_consumer()
        subscription = await jetstream.pull_subscribe_bind(self._service, stream=self._stream.name)
        try:
            while True:
                messages = await subscription.fetch(BATCH, timeout=FETCH_S)
                await self._handle(messages, handler)
                await asyncio.sleep(GATHER_S)
        except NatsError as error:
            log.debug("streams.idle", error=type(error).__name__)
        finally:
            await subscription.unsubscribe()

    async def _handle(self, messages: list[Msg], handler: Callable[[list[P]], Awaitable[None]]) -> None:
        try:
            await handler([payload for message in messages if (payload := self._decoded(message))])
        except Exception:
            for message in messages:
                await message.nak()
            raise
        for message in messages:
            await message.ack()

    def _decoded(self, message: Msg) -> P | None:
        try:
            return self._topic.payload.model_validate_json(message.data)
        except ValidationError as error:
            log.error("streams.poison", subject=message.subject, errors=error.error_count())
            return None

    async def _make_consumer(self) -> None:
        try:
            await self._bus.jetstream.add_consumer(
                self._stream.name,
                ConsumerConfig(
                    durable_name=self._service,
                    deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=30,
                ),
            )
        except NotFoundError:
            log.info("streams.waiting", stream=self._stream.name)
