"""Streams: created by their owner at start, and read directly if only the newest message matters."""

import asyncio
from collections.abc import Iterable
from typing import TypeVar

from nats.errors import Error as NatsError
from nats.js.api import (
    DiscardPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError
from pydantic import BaseModel, ValidationError

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.wire.topic import Stream, Topic

P = TypeVar("P", bound=BaseModel)


async def declare(bus: Bus, streams: Iterable[Stream]) -> set[str]:
    """Create missing streams. Existing ones keep their configuration.

    Returns:
        The names of created streams. Messages that they contained before are lost.
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
        no_ack=stream.memory,
    )


async def last(bus: Bus, stream: Stream, topic: Topic[P], subject: str) -> P | None:
    """Return the newest message of a subject; None if there is none or no reply within half a second."""
    if not bus.connected:
        return None
    try:
        async with asyncio.timeout(0.5):
            asked = bus.jetstream.get_last_msg(stream.name, subject, direct=True)
            message = await asyncio.shield(asked)  # or a cancellation that meets the answer is lost: see Bus._send
        return topic.payload.model_validate_json(message.data or b"")
    except (NatsError, TimeoutError, ValidationError, OSError):
        return None
