"""A durable reader: every message at least once, whatever its handler, its consumer or its stream goes through."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from nats.js.errors import NotFoundError

from chassis.loop import Loop
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from tests.integration.chassis.conftest import NOTED, NOTES, Note, connected
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

SERVICE = "reader"


class Kept:
    """A handler that keeps what it is given, and refuses as often as a test wants."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures, self.failed = failures, list[list[int]]()
        self.notes: list[Note] = []

    async def __call__(self, found: list[Note]) -> None:
        if self.failures:
            self.failures -= 1
            self.failed.append([note.seq for note in found])
            raise RuntimeError("a fault of the handler")
        self.notes.extend(found)

    @property
    def seqs(self) -> list[int]:
        return [note.seq for note in self.notes]


async def say(bus: Bus, *seqs: int) -> None:
    for seq in seqs:
        await bus.jetstream.publish(NOTED.subject(key="a"), Note(letter="a", seq=seq).model_dump_json().encode())


def reader_on(bus: Bus) -> Reader[Note]:
    return Reader(bus, NOTES, NOTED, service=SERVICE)


@asynccontextmanager
async def reading(bus: Bus, handler: Callable[[list[Note]], Awaitable[None]]) -> AsyncIterator[None]:
    reader = reader_on(bus)
    loop = Loop("test.read", lambda: reader.tick(handler), every_s=0.05)
    try:
        loop.start()
        yield
    finally:
        await loop.stop()


async def made(bus: Bus) -> None:
    """Wait until the reader has made its consumer."""

    async def there() -> bool:
        with suppress(NotFoundError):
            await bus.jetstream.consumer_info(NOTES.name, SERVICE)
            return True
        return False

    await until(there)


async def come_again_soon(bus: Bus) -> None:
    """What is not acknowledged comes again after half a second rather than thirty."""
    info = await bus.jetstream.consumer_info(NOTES.name, SERVICE)
    await bus.jetstream.add_consumer(NOTES.name, info.config.evolve(ack_wait=0.5))


async def test_consumer_reads_in_order_and_resumes_where_it_stopped(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    await say(stream, *range(1, 251))  # before anybody reads, and more than one batch
    first, second = Kept(), Kept()
    async with reading(stream, first):
        await until(lambda: len(first.seqs) == 250)
        await settled(stream, 250)
    await say(stream, 251, 252)
    async with reading(stream, second):
        await until(lambda: len(second.seqs) == 2)
        await settled(stream, 252)
    assert first.seqs == list(range(1, 251))
    assert second.seqs == [251, 252]


async def settled(bus: Bus, up_to: int) -> None:
    """Wait until the server knows that everything up to this message was handled."""

    async def acknowledged() -> bool:
        info = await bus.jetstream.consumer_info(NOTES.name, SERVICE)
        return info.ack_floor is not None and info.ack_floor.stream_seq >= up_to

    await until(acknowledged)


@pytest.mark.requirement("F-73")
async def test_messages_are_redelivered_after_a_handler_exception(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    kept = Kept()
    async with reading(stream, kept):
        await made(stream)
        await come_again_soon(stream)
        kept.failures = 2
        await say(stream, 1, 2, 3)
        await until(lambda: set(kept.seqs) == {1, 2, 3})
        await settled(stream, 3)
    assert len(kept.failed) == 2
    assert kept.failed[0][0] == 1


async def test_later_messages_do_not_hide_a_failed_one(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    kept = Kept(failures=1)
    async with reading(stream, kept):
        await made(stream)
        await say(stream, 1)
        await until(lambda: kept.failed == [[1]])
        await say(stream, 2)
        await until(lambda: 2 in kept.seqs)
        await come_again_soon(stream)
        await until(lambda: set(kept.seqs) == {1, 2}, 2)


@pytest.mark.requirement("F-70")
async def test_poison_message_is_skipped_and_blocks_nothing(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    kept = Kept()
    subject = NOTED.subject(key="a")
    await say(stream, 1)
    for poison in (b"", b"{", b"null", b'{"letter": "a"}', b'{"letter": "a", "seq": "x"}', b"\xff" * 100):
        await stream.jetstream.publish(subject, poison)
    await say(stream, 2)
    async with reading(stream, kept):
        await until(lambda: kept.seqs == [1, 2])
        await stream.jetstream.publish(subject, b"alone in its batch")
        await settled(stream, 9)
        await say(stream, 3)
        await until(lambda: kept.seqs == [1, 2, 3])
        await settled(stream, 10)


@pytest.mark.requirement("F-69")
async def test_deleted_consumer_is_recreated(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    kept = Kept()
    async with reading(stream, kept):
        await made(stream)
        await say(stream, 1)
        await until(lambda: kept.seqs == [1])
        assert await stream.jetstream.delete_consumer(NOTES.name, SERVICE)
        with pytest.raises(NotFoundError):
            await stream.jetstream.consumer_info(NOTES.name, SERVICE)
        await say(stream, 2)
        await until(lambda: 2 in kept.seqs)
    assert set(kept.seqs) == {1, 2}


@pytest.mark.requirement("F-69")
async def test_recreated_stream_is_consumed(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    kept = Kept()
    async with reading(stream, kept):
        await made(stream)
        await say(stream, 1)
        await until(lambda: kept.seqs == [1])
        await stream.jetstream.delete_stream(NOTES.name)
        assert await streams.declare(stream, (NOTES,)) == {NOTES.name}
        await say(stream, 2)
        await until(lambda: kept.seqs == [1, 2])


async def test_consumer_waits_for_a_missing_stream(stream: Bus) -> None:
    kept = Kept()
    ticks = 0
    reader = reader_on(stream)

    async def tick() -> None:
        nonlocal ticks
        ticks += 1
        await reader.tick(kept)

    loop = Loop("test.read", tick, every_s=0.05)
    try:
        loop.start()
        await until(lambda: ticks == 1)
        await streams.declare(stream, (NOTES,))
        await say(stream, 1)
        await until(lambda: kept.seqs == [1])
    finally:
        await loop.stop()


@pytest.mark.requirement("F-65")
async def test_consumer_resumes_after_a_server_restart(own_nats: NatsServer) -> None:
    async with connected(own_nats.url) as bus:
        await streams.declare(bus, (NOTES,))
        kept = Kept()
        async with reading(bus, kept):
            await say(bus, 1)
            await until(lambda: kept.seqs == [1])
            await settled(bus, 1)
            own_nats.kill()
            await until(lambda: not bus.connected)
            await own_nats.start()
            await until(lambda: bus.connected)
            await say(bus, 2)
            await until(lambda: kept.seqs == [1, 2])


async def test_last_message_of_a_subject_is_returned(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    subject = NOTED.subject(key="a")
    assert await streams.last(stream, NOTES, NOTED, subject) is None
    await say(stream, 1, 2)
    assert await streams.last(stream, NOTES, NOTED, subject) == Note(letter="a", seq=2)
    assert await streams.last(stream, NOTES, NOTED, NOTED.subject(key="b")) is None
    await stream.jetstream.publish(subject, b"{")
    assert await streams.last(stream, NOTES, NOTED, subject) is None


async def test_last_message_is_unknown_while_nats_is_unavailable(own_nats: NatsServer) -> None:
    async with connected(own_nats.url) as bus:
        await streams.declare(bus, (NOTES,))
        await say(bus, 1)
        own_nats.kill()
        async with asyncio.timeout(5):
            assert await streams.last(bus, NOTES, NOTED, NOTED.subject(key="a")) is None


async def test_cancellation_during_a_last_message_lookup_is_not_lost(stream: Bus) -> None:
    """Python 3.11's wait_for, which nats-py asks with, gives back the answer instead."""
    await streams.declare(stream, [NOTES])
    await say(stream, 1)
    tries, answered = 0, False
    while not answered or tries < 200:
        tries += 1
        asked = asyncio.create_task(streams.last(stream, NOTES, NOTED, NOTED.subject(key="a")))
        for _ in range(8):
            await asyncio.sleep(0)
        time.sleep(0.004)  # noqa: ASYNC251 - the answer is there, and nobody has read it
        for _ in range(tries % 20):  # before it is looked at, while it is, after
            await asyncio.sleep(0)
        answered = asked.done()
        asked.cancel()
        await asyncio.wait({asked})
        assert answered or asked.cancelled()
