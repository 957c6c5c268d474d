"""A stream consumer of notes, with a handler whose failures a test defines, and a database for dead letters."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from nats.js.errors import NotFoundError

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from chassis.messaging.metadata import Metadata
from chassis.messaging.stream_consumer import ReceivedMessage, StreamConsumer
from contracts.wire.dead_letters import DeadLetter, ListDeadLetters
from contracts.wire.topic import DurableConsumer
from tests.integration.chassis.conftest import NOTED, NOTES, Note
from tests.kit.postgres import database_with_long_timeout
from tests.kit.waiting import until

CONSUMER = DurableConsumer(
    stream=NOTES, topic=NOTED, service="reader", max_deliver=3, backoff_s=(0.1, 0.2), max_bytes=200_000
)
IMPATIENT = replace(CONSUMER, ack_wait_s=2)  # redelivers early where an acknowledgement is lost
SECOND = replace(CONSUMER, purpose="second")

POISON = {
    "empty": b"",
    "not JSON": b"{",
    "null": b"null",
    "missing field": b'{"letter": "a"}',
    "wrong type": b'{"letter": "a", "seq": "x"}',
    "not UTF-8": b"\xff" * 100,
    "surrogate": b'{"letter": "\\ud800", "seq": 1}',
    "deep": b"[" * 100_000,
    "too large": b'{"letter": "' + b"x" * CONSUMER.max_bytes + b'", "seq": 1}',
}


class Handler:
    """Records the notes that it handles.

    Args:
        fails: returns the exception to raise for a note, or None.
    """

    def __init__(self, fails: Callable[[Note, Metadata], Exception | None] = lambda *_: None) -> None:
        self.fails = fails
        self.handled: list[Note] = []
        self.metadata: list[Metadata] = []
        self.attempts: list[tuple[int, int]] = []  # seq and delivery number of failed notes

    async def __call__(self, messages: Sequence[ReceivedMessage[Note]]) -> None:
        for note, metadata in messages:
            error = self.fails(note, metadata)
            if error is not None:
                self.attempts.append((note.seq, metadata.delivery))
                raise error
        self.handled.extend(note for note, _ in messages)
        self.metadata.extend(metadata for _, metadata in messages)

    @property
    def seqs(self) -> list[int]:
        return [note.seq for note in self.handled]


async def store_notes(bus: Bus, *seqs: int) -> None:
    """Store notes in the stream."""
    for seq in seqs:
        await bus.jetstream.publish(NOTED.subject(key="a"), Note(letter="a", seq=seq).model_dump_json().encode())


@asynccontextmanager
async def consuming(
    bus: Bus, handler: Handler, letters: DeadLetterStore, consumer: DurableConsumer[Note] = CONSUMER
) -> AsyncIterator[StreamConsumer[Note]]:
    """Run a consumer."""
    reader = StreamConsumer(bus, consumer, handler, letters)
    loop = reader.loop("test.consume")
    try:
        loop.start()
        yield reader
    finally:
        await loop.stop()


async def acknowledged(bus: Bus, up_to: int, consumer: DurableConsumer[Note] = CONSUMER) -> None:
    """Wait until the server has the acknowledgement of every message up to this sequence."""

    async def settled() -> bool:
        with suppress(NotFoundError):
            info = await bus.jetstream.consumer_info(NOTES.name, consumer.name)
            return info.ack_floor is not None and info.ack_floor.stream_seq >= up_to
        return False

    await until(settled)


@asynccontextmanager
async def letters_at(url: str) -> AsyncIterator[DeadLetterStore]:
    """Return the dead letters of a database."""
    database = database_with_long_timeout(url)
    try:
        yield DeadLetterStore(database)
    finally:
        await database.close()


async def list_letters(letters: DeadLetterStore, *consumers: StreamConsumer[Note]) -> list[DeadLetter]:
    """Return the newest dead letters, oldest first."""
    page = await DeadLetters("reader", letters, consumers).list_page(ListDeadLetters(limit=100))
    return list(reversed(page.letters))
