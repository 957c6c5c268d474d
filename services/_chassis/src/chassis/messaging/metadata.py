"""The metadata that subscribers receive with a message. NATS types stay inside this package."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.aio.msg import Msg

from contracts.wire.topic import Topic


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where a message was published and how often it was delivered.

    Attributes:
        tenant, key: the variable tokens of its subject; ``key`` is None where the topic has none.
        sequence: its number in the stream, None if it was not read from a stream.
        published_at: when the stream stored it, None if it was not read from a stream.
        delivery: 1 for the first delivery, 2 for the second, and so on.
    """

    subject: str
    tenant: str
    key: str | None
    sequence: int | None = None
    published_at: datetime | None = None
    delivery: int = 1

    @property
    def redelivered(self) -> bool:
        """Whether the message was delivered before, so that it may already have been handled in part."""
        return self.delivery > 1


def read_metadata(topic: Topic[Any], message: Msg) -> Metadata:
    """Return the metadata of a message of this topic."""
    address = topic.parse_subject(message.subject)
    return Metadata(message.subject, address.tenant, address.key)


def read_stream_metadata(topic: Topic[Any], message: Msg) -> Metadata:
    """Return the metadata of a message of this topic that was read from a stream."""
    address, stream = topic.parse_subject(message.subject), message.metadata
    return Metadata(
        message.subject, address.tenant, address.key, stream.sequence.stream, stream.timestamp, stream.num_delivered
    )
