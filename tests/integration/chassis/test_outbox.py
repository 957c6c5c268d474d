"""Committed messages are published: with several relays, after a relay crash, and again after the stream was lost."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from chassis.loop import Loop
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import OutboxRelay
from tests.integration.chassis.conftest import (
    ASHES,
    BURNT,
    NOTED,
    NOTES,
    Note,
    Outbox,
    connected,
    count,
    stored,
)
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

ROOT = Path(__file__).parents[3]

RELAY = """
import asyncio, sys
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import OutboxRelay
from chassis.database.postgres import Database

async def main(nats, url):
    bus = Bus(nats, name="dying", user=None, password=None, inbox_prefix="_INBOX_dying")
    await bus.start()
    Loop("dying.relay", OutboxRelay(Database(url, name="dying"), bus).tick, every_s=0.05).start()
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def running(*relays: OutboxRelay) -> AsyncIterator[list[Loop]]:
    loops = [Loop("test.relay", relay.tick, every_s=0.05) for relay in relays]
    try:
        for loop in loops:
            loop.start()
        yield loops
    finally:
        for loop in loops:
            await loop.stop()


def notes(number: int, *, letters: str = "abcde", first: int = 1) -> list[Note]:
    """Create ``number`` consecutive notes per letter, ordered by ``seq``, then by letter."""
    return [Note(letter=letter, seq=seq) for seq in range(first, first + number) for letter in letters]


def in_order(found: list[tuple[str, Note]]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for _, note in found:
        numbers.setdefault(note.letter, []).append(note.seq)
    return numbers


async def ids(outbox: Outbox) -> list[str]:
    return [str(row["message_id"]) for row in await outbox.sql.fetch("SELECT message_id FROM outbox ORDER BY id")]


async def test_every_outbox_row_is_published_once_in_order(stream: Bus, outbox: Outbox) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    async with running(await outbox.relay(stream)):
        for first in range(1, 101, 10):
            await outbox.write(notes(10, first=first))

        async def done() -> bool:
            return await outbox.waiting() == 0

        await until(done)
    found = await stored(stream)
    assert in_order(found) == {letter: list(range(1, 101)) for letter in "abcde"}
    assert [message_id for message_id, _ in found] == await ids(outbox)


@pytest.mark.requirement("F-21")
async def test_two_relays_publish_every_outbox_row_once(stream: Bus, outbox: Outbox, nats: NatsServer) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await outbox.write(notes(200))
    async with connected(nats.url, "other") as other:
        relays = (await outbox.relay(stream), await outbox.relay(other))
        async with running(*relays):

            async def done() -> bool:
                return await outbox.waiting() == 0

            await until(done)
    found = await stored(stream)
    assert len(found) == 1000
    assert sorted(message_id for message_id, _ in found) == sorted(await ids(outbox))


async def test_rows_of_two_streams_are_published_in_order(stream: Bus, outbox: Outbox) -> None:
    await streams.create_missing_streams(stream, (NOTES, ASHES))
    for seq in range(1, 11):
        await outbox.write(notes(1, first=seq))
        await outbox.write(notes(1, first=seq), BURNT)
    await (await outbox.relay(stream)).tick()
    assert await outbox.waiting() == 0
    for name in (NOTES.name, ASHES.name):
        assert in_order(await stored(stream, name)) == {letter: list(range(1, 11)) for letter in "abcde"}


@asynccontextmanager
async def dying_relay(nats: NatsServer, database_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a relay in a separate process, which a test can kill."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RELAY, nats.url, database_url, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.requirement("F-11")
async def test_relay_crash_between_publishing_and_marking_duplicates_nothing(
    stream: Bus, outbox: Outbox, nats: NatsServer, database_url: str
) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    holder = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        held = holder.transaction()
        await held.start()
        await outbox.write(notes(10))
        await holder.execute("LOCK TABLE outbox IN SHARE MODE")  # other transactions can lock rows but not mark them

        async def said() -> bool:
            return await count(stream) == 50

        async with dying_relay(nats, database_url) as dying:
            await until(said)
            assert await outbox.waiting() == 50
            dying.send_signal(signal.SIGKILL)
            assert await dying.wait() == -signal.SIGKILL
        await held.rollback()
    finally:
        await holder.close()
    assert await outbox.waiting() == 50  # the relay was killed before it marked any row
    async with running(await outbox.relay(stream)):

        async def marked() -> bool:
            return await outbox.waiting() == 0

        await until(marked)
    assert [message_id for message_id, _ in await stored(stream)] == await ids(outbox)


@pytest.mark.requirement("F-67")
async def test_lost_stream_is_recreated_and_refilled_from_the_outbox(stream: Bus, outbox: Outbox) -> None:
    assert await streams.create_missing_streams(stream, (NOTES,)) == {"NOTES"}
    relay = await outbox.relay(stream)
    await outbox.write(notes(10))
    await relay.tick()
    assert await streams.create_missing_streams(stream, (NOTES,)) == set()
    await stream.jetstream.delete_stream("NOTES")
    await outbox.write(notes(10, first=11))
    await relay.tick()
    assert await outbox.waiting() == 50  # not acknowledged, so they are kept
    assert await streams.create_missing_streams(stream, (NOTES,)) == {"NOTES"}
    assert await count(stream) == 0
    await relay.republish()
    await relay.tick()
    assert await outbox.waiting() == 0
    found = await stored(stream)
    assert in_order(found) == {letter: list(range(1, 21)) for letter in "abcde"}
    await relay.republish()
    await relay.tick()
    assert await stored(stream) == found  # published again, but stored once


async def test_only_rows_published_over_an_hour_ago_are_deleted(stream: Bus, outbox: Outbox) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    relay = await outbox.relay(stream)
    await outbox.write(notes(1, letters="abc"))
    await relay.tick()
    old, young, unsaid = (NOTED.subject(key=letter) for letter in "abc")
    sql = "UPDATE outbox SET published_at = now() - make_interval(mins => $2) WHERE subject = $1"
    await outbox.sql.execute(sql, old, 61)
    await outbox.sql.execute(sql, young, 59)
    sql = "UPDATE outbox SET created_at = now() - interval '1 day', published_at = NULL WHERE subject = $1"
    await outbox.sql.execute(sql, unsaid)
    await relay.prune()
    left = await outbox.sql.fetch("SELECT subject FROM outbox ORDER BY id")
    assert [row["subject"] for row in left] == [young, unsaid]


@pytest.mark.requirement("F-13")
async def test_outbox_rows_wait_while_nats_is_unavailable(own_nats: NatsServer, outbox: Outbox) -> None:
    async with connected(own_nats.url) as bus:
        await streams.create_missing_streams(bus, (NOTES,))
        async with running(await outbox.relay(bus)):
            own_nats.kill()
            await until(lambda: not bus.connected)
            await outbox.write(notes(10))
            assert await outbox.waiting() == 50
            await own_nats.start()

            async def done() -> bool:
                return await outbox.waiting() == 0

            await until(done)
            assert in_order(await stored(bus)) == {letter: list(range(1, 11)) for letter in "abcde"}


async def test_relay_continues_after_the_server_dies_with_pending_acknowledgements(
    own_nats: NatsServer, outbox: Outbox
) -> None:
    async with connected(own_nats.url) as bus:
        await streams.create_missing_streams(bus, (NOTES,))
        await outbox.write(notes(1))
        own_nats.signal(signal.SIGSTOP)  # accepts connections and never replies
        async with running(await outbox.relay(bus)):

            async def taken() -> bool:
                sql = """SELECT count(*) FROM pg_stat_activity
                    WHERE application_name = 'relay' AND state = 'idle in transaction'"""
                return bool(await outbox.sql.fetchval(sql))

            await until(taken)
            own_nats.kill()
            await own_nats.start()
            await until(lambda: bus.connected)

            async def done() -> bool:
                return await outbox.waiting() == 0

            await until(done)
        assert in_order(await stored(bus)) == {letter: [1] for letter in "abcde"}


async def test_relay_leaves_no_subscriptions_behind(own_nats: NatsServer, outbox: Outbox) -> None:
    async with connected(own_nats.url) as bus:
        await streams.create_missing_streams(bus, (NOTES,))
        relay = await outbox.relay(bus)
        held = []
        for seq in range(1, 51, 10):
            await outbox.write(notes(10, first=seq))
            await relay.tick()
            await outbox.write(notes(1, first=seq + 100))
            await relay.tick()
            held.append(len(bus._client._subs))
        assert held[1:] == [held[0]] * 4
