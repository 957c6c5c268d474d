"""A process with requests, live messages and a stream consumer is exposed to faults of NATS, one after another.

    ./dev chaos [--outage-s 180]

The server stops for ``--outage-s``, restarts with a wrong password and then with the right one, and revokes and
restores the login of open connections. Before and after that, the test stores every kind of unreadable message, and
messages whose handler always raises. At the end, every readable message was handled, every other one is a dead
letter, and dead letters can be redriven with a handler that works. The test fails if the event loop is blocked.
"""

import argparse
import asyncio
import logging
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import structlog

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from chassis.messaging.metadata import Metadata
from contracts.wire.dead_letters import DeadLetter, DeadLetterFailedAgain, DeadLetterNotRedrivable, RedriveDeadLetter
from contracts.wire.errors import Unavailable
from contracts.wire.topic import Address
from tests.integration.chassis.conftest import ECHO, NOTED, NOTES, Answer, Note, Question, bus_at
from tests.integration.chassis.note_consumers import (
    IMPATIENT,
    POISON,
    Handler,
    acknowledged,
    consuming,
    letters_at,
    list_letters,
    store_notes,
)
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

TICK_S = 0.01
REFUSALS = 4  # logged by the server: two connections, each refused twice
BAD = 1000  # notes from this number on always fail


class Ticker:
    """Counts iterations of the event loop, and measures its longest stall in seconds."""

    def __init__(self) -> None:
        self.ticks, self.longest_s = 0, 0.0

    async def run(self) -> None:
        last = monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            self.longest_s = max(self.longest_s, now - last)
            self.ticks, last = self.ticks + 1, now


def login(password: str) -> str:
    return f'authorization {{ users: [ {{ user: "echo", password: "{password}" }} ] }}'


async def echo(question: Question, _: Address) -> Answer:
    return Answer(text=question.text)


class Faults:
    """The process under test and its NATS server; each method causes or checks one thing."""

    def __init__(self, server: NatsServer, letters: DeadLetterStore) -> None:
        self.server, self.letters, self.ticker = server, letters, Ticker()
        self.served = bus_at(server.url, user="echo", password="right")
        self.asker = bus_at(server.url, "asker", user="echo", password="right")
        self.handler = Handler(lambda note, _: RuntimeError("always") if note.seq >= BAD else None)
        self.live: list[int] = []
        self.stored: list[int] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the process."""
        ticking = asyncio.create_task(self.ticker.run())
        self.served.serve(ECHO, echo)
        try:
            await self.served.start()
            await self.asker.start()
            await streams.create_missing_streams(self.served, (NOTES,))
            await self.served.subscribe(NOTED, self._on_live)
            async with consuming(self.served, self.handler, self.letters, IMPATIENT):
                yield
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})
            await self.asker.stop()
            await self.served.stop()

    async def store(self, *seqs: int, poison: bool = False) -> None:
        """Store notes in the stream and, with ``poison``, one message of every unreadable kind."""
        await store_notes(self.asker, *seqs)
        self.stored += seqs
        for body in POISON.values() if poison else ():
            await self.asker.jetstream.publish(NOTED.subject(key="a"), body)

    async def works(self) -> None:
        """Wait until a request is answered, and a note arrives both live and through the stream."""
        await until(self._is_answered)
        seq = len(self.stored) + 1
        await self.store(seq)
        await until(lambda: seq in self.live and seq in self.handler.seqs)

    async def outage(self, for_s: float) -> None:
        """Stop the server for a number of seconds, counted in iterations of the event loop."""
        self.server.kill()
        await until(lambda: not self.served.connected and not self.asker.connected)
        end = self.ticker.ticks + for_s / TICK_S
        await until(lambda: self.ticker.ticks >= end, 2 * for_s + 20)
        assert not await self._is_answered()
        await self.server.start()

    async def other_password(self) -> None:
        """Restart the server with a wrong password until it has refused reconnects, then with the right one."""
        for password, refusals in (("wrong", self._refusals() + REFUSALS), ("right", 0)):
            self.server.kill()
            self.server.config = login(password)
            await self.server.start()
            await until(lambda refusals=refusals: self._refusals() >= refusals)  # type: ignore[misc]

    async def revoke_login(self) -> None:
        """Revoke the login of open connections by a configuration reload, and restore it."""
        for password in ("wrong", "right"):
            (self.server.folder / "conf").write_text(login(password))
            self.server.signal(signal.SIGHUP)
            if password == "wrong":
                await until(lambda: not self.served.connected and not self.asker.connected)

    async def dead_letters(self) -> list[DeadLetter]:
        return await list_letters(self.letters)

    async def _on_live(self, note: Note, _: Metadata) -> None:
        self.live.append(note.seq)

    async def _is_answered(self) -> bool:
        try:
            return await self.asker.request(ECHO, Question(text="a")) == Answer(text="a")
        except Unavailable:
            return False

    def _refusals(self) -> int:
        return len(re.findall(r"authentication error", self.server.read_log()))


async def survive(server: NatsServer, letters: DeadLetterStore, *, outage_s: float) -> Faults:
    """Cause all faults, and assert that no message is stuck or lost."""
    faults = Faults(server, letters)
    async with faults.running():
        await faults.works()
        await faults.store(BAD, poison=True)
        await faults.outage(outage_s)
        await faults.works()
        await faults.other_password()
        await faults.works()
        await faults.revoke_login()
        await faults.works()
        await faults.store(BAD + 1, poison=True)
        await faults.works()
        last = (await faults.served.jetstream.stream_info(NOTES.name)).state.last_seq
        await acknowledged(faults.served, last)
    good = [seq for seq in faults.stored if seq < BAD]
    assert sorted(set(faults.handler.seqs)) == good
    found = await faults.dead_letters()
    assert len(found) == 2 * len(POISON) + 2
    failed = [letter for letter in found if letter.code == "internal"]
    assert [letter.attempts >= IMPATIENT.max_deliver for letter in failed] == [True, True]
    return faults


async def redrive_all(faults: Faults, bus: Bus) -> list[str]:
    """Redrive every dead letter with a handler that works; return the error codes of those refused."""
    faults.handler.fails = lambda *_: None
    refused = []
    async with consuming(bus, faults.handler, faults.letters, IMPATIENT) as consumer:
        dead = DeadLetters("reader", faults.letters, (consumer,))
        for letter in await faults.dead_letters():
            try:
                await dead.redrive(RedriveDeadLetter(id=letter.id))
            except (DeadLetterFailedAgain, DeadLetterNotRedrivable) as refusal:
                refused.append(refusal.code)
    return refused


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="./dev chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--outage-s", type=float, default=180.0, help="how long NATS is away (default: 180)")
    outage_s: float = parser.parse_args().outage_s
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server, postgres = NatsServer(login("right")), PostgresServer()
    try:
        await server.start()
        await postgres.create()
        async with letters_at(await postgres.create_database("notifier")) as letters:
            began = monotonic()
            faults = await survive(server, letters, outage_s=outage_s)
            letters_found = len(await faults.dead_letters())
            bus = bus_at(server.url, user="echo", password="right")
            await bus.start()
            refused = await redrive_all(faults, bus)
            await bus.stop()
            left = len(await faults.dead_letters())
    finally:
        server.remove()
        postgres.remove()
    print(
        f"outage {outage_s:g} s, total {monotonic() - began:.0f} s: {len(set(faults.handler.seqs))} messages handled, "
        f"{letters_found} dead letters, {letters_found - left} redriven, {len(refused)} unreadable ones left; "
        f"longest stall of the event loop {faults.ticker.longest_s * 1000:.0f} ms"
    )


if __name__ == "__main__":
    asyncio.run(main())
