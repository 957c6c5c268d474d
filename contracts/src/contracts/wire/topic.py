"""Subjects: ``<kind>.<owner>.<noun>.<verb>.v<N>.<tenant>[.<key>]``.

The tenant in a subject is set by the server or by a NATS permission, never taken from a payload.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

FLEET = "_"
"""The tenant token of messages that belong to no tenant but to the fleet."""

SERVER_TIME_SUBJECT = "$SYS.REQ.USER.INFO"
"""The NATS server replies with its time, the clock that deadlines of requests use."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Stricter than NATS, which allows anything but dots, wildcards and white space."""


class MessageKind(StrEnum):
    """The kind of a message, which decides how it is delivered."""

    RPC = "rpc"  # request and reply; without a responder a request fails at once
    EVT = "evt"  # a fact, stored in a stream
    CMD = "cmd"  # a hint that can be lost; the next heartbeat reply repeats it
    LIVE = "live"  # only the latest message matters; messages can be lost


@dataclass(frozen=True, slots=True)
class Address:
    """The variable tokens of a message's subject, its headers, and the size of its data in bytes.

    Attributes:
        deadline: time by ``time.monotonic()`` after which a request is no longer started; None if there is none.
    """

    tenant: str
    key: str | None
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)
    size_bytes: int = field(default=0, compare=False)
    deadline: float | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic(Generic[P]):
    """A family of subjects with their payload type.

    Attributes:
        key: what the last token identifies ("job", "node"); None if there is none.
        producers: services that may publish it; "outside" is an external system on NATS.
        consumers: services that receive it. The only consumer of an ``rpc`` topic is its owner.
    """

    kind: MessageKind
    owner: str
    noun: str
    verb: str
    payload: type[P]
    description: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    version: int = 1
    key: str | None = None

    @property
    def name(self) -> str:
        """The fixed part: ``<kind>.<owner>.<noun>.<verb>.v<N>``."""
        return f"{self.kind}.{self.owner}.{self.noun}.{self.verb}.v{self.version}"

    @property
    def pattern(self) -> str:
        """The NATS wildcard that matches exactly the subjects of this topic."""
        return f"{self.name}.*" + (".*" if self.key else "")

    def subject(self, tenant: str = FLEET, key: str | None = None) -> str:
        """Return the subject for one tenant and key.

        Raises:
            ValueError: a token is not valid in a subject, or the key is missing or unexpected.
        """
        tokens = [tenant] if self.key is None else [tenant, key or ""]
        if (key is None) != (self.key is None) or not all(map(TOKEN.fullmatch, tokens)):
            raise ValueError(f"{self.name} cannot be addressed to {tenant!r}, {key!r}")
        return ".".join([self.name, *tokens])

    def filter_subject(self, tenant: str | None = None, key: str | None = None) -> str:
        """Return the subject of these messages, with a NATS wildcard for each token that is None.

        Raises:
            ValueError: a token is not valid in a subject, or this topic has no key.
        """
        tokens = [tenant, key] if self.key or key is not None else [tenant]
        if (key is not None and self.key is None) or not all(TOKEN.fullmatch(token) for token in tokens if token):
            raise ValueError(f"{self.name} cannot be filtered by {tenant!r}, {key!r}")
        return ".".join([self.name, *(token or "*" for token in tokens)])

    def parse_subject(self, subject: str) -> Address:
        """Parse the variable tokens of a subject of this topic."""
        tokens = subject.removeprefix(self.name + ".").split(".")
        return Address(tokens[0], tokens[1] if self.key else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rpc(Topic[P], Generic[P, R]):
    """A request with exactly one reply: the committed result, or a refusal."""

    reply: type[R]
    timeout_s: float = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """A JetStream stream, declared by the service that owns it.

    Attributes:
        description: shown by NATS tools.
        max_age_s: maximum age of messages, seconds.
        in_memory: kept in memory by one server, for messages that may be lost.
        max_bytes: the oldest messages are discarded beyond this size.
        duplicate_window_s: within this time a message with the same ``Nats-Msg-Id`` is a duplicate, seconds.
        last_per_subject: maximum number of messages kept per subject; None for all.
        direct_readers: services that read the last message of a subject directly.
    """

    name: str
    owner: str
    topics: tuple[Topic[Any], ...]
    max_age_s: float
    description: str = ""
    in_memory: bool = False
    max_bytes: int = field(default=1 << 30)
    duplicate_window_s: float = 600.0
    last_per_subject: int | None = None
    direct_readers: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subject patterns that this stream stores."""
        return tuple(topic.pattern for topic in self.topics)


@dataclass(frozen=True, kw_only=True, slots=True)
class DurableConsumer(Generic[P]):
    """A durable pull consumer: the server stores the position of one reader in a stream.

    Attributes:
        service: service that reads the stream; each message is delivered to one replica at a time.
        topic: topic that it handles. Any other message in the stream becomes a dead letter.
        purpose: distinguishes several consumers of one service and stream; None for the first.
        max_deliver: after this many failed deliveries a message becomes a dead letter.
        backoff_s: pauses before the second, third, ... delivery, seconds. The last one repeats.
        ack_wait_s: an unacknowledged message is delivered again after this time, seconds.
        max_bytes: a larger message becomes a dead letter without being decoded.
    """

    stream: Stream
    topic: Topic[P]
    service: str
    purpose: str | None = None
    max_deliver: int = 5
    backoff_s: tuple[float, ...] = (1, 5, 30, 120)
    ack_wait_s: float = 30.0
    max_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if self.topic not in self.stream.topics:
            raise ValueError(f"{self.stream.name} does not store {self.topic.name}")
        if self.max_deliver < 1 or not self.backoff_s:
            raise ValueError(f"{self.name} needs at least one delivery and one pause")

    @property
    def name(self) -> str:
        """The durable name on the server: ``<service>`` or ``<service>-<purpose>``."""
        return self.service if self.purpose is None else f"{self.service}-{self.purpose}"

    def redelivery_delay_s(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1)."""
        return self.backoff_s[min(attempt, len(self.backoff_s)) - 1]
