"""Declaration of streams, and the last message of a subject."""

import asyncio
import time

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from tests.integration.chassis.conftest import NOTED, NOTES, Note, connected
from tests.integration.chassis.note_consumers import store_notes
from tests.kit.nats import NatsServer


async def test_last_message_of_a_subject_is_returned(stream: Bus) -> None:
    await streams.declare(stream, (NOTES,))
    subject = NOTED.subject(key="a")
    assert await streams.last(stream, NOTES, NOTED, subject) is None
    await store_notes(stream, 1, 2)
    assert await streams.last(stream, NOTES, NOTED, subject) == Note(letter="a", seq=2)
    assert await streams.last(stream, NOTES, NOTED, NOTED.subject(key="b")) is None
    await stream.jetstream.publish(subject, b"{")
    assert await streams.last(stream, NOTES, NOTED, subject) is None


async def test_last_message_is_unknown_while_nats_is_unavailable(own_nats: NatsServer) -> None:
    async with connected(own_nats.url) as bus:
        await streams.declare(bus, (NOTES,))
        await store_notes(bus, 1)
        own_nats.kill()
        async with asyncio.timeout(5):
            assert await streams.last(bus, NOTES, NOTED, NOTED.subject(key="a")) is None


async def test_cancellation_during_a_last_message_lookup_is_not_lost(stream: Bus) -> None:
    """Python 3.11's wait_for, which nats-py uses, would return the reply instead."""
    await streams.declare(stream, [NOTES])
    await store_notes(stream, 1)
    tries, answered = 0, False
    while not answered or tries < 200:
        tries += 1
        asked = asyncio.create_task(streams.last(stream, NOTES, NOTED, NOTED.subject(key="a")))
        for _ in range(8):
            await asyncio.sleep(0)
        time.sleep(0.004)  # noqa: ASYNC251 - the answer is there, and nobody has read it
        for _ in range(tries % 20):  # before, during and after the lookup
            await asyncio.sleep(0)
        answered = asked.done()
        asked.cancel()
        await asyncio.wait({asked})
        assert answered or asked.cancelled()
