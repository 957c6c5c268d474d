"""The chassis with a real NATS and a real PostgreSQL. Defines its own topics: the chassis must not import contracts."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from nats.js.api import RawStreamMsg
from pydantic import Field

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import OutboxRelay
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Rpc, Stream, Topic
from tests.kit.nats import NatsServer, running_nats
from tests.kit.postgres import PostgresServer, database_with_long_timeout


class Question(StrictModel):
    text: str
    times: int = Field(default=1, le=5)


class Answer(TolerantModel):
    text: str


class Note(TolerantModel):
    letter: str
    seq: int


ECHO: Rpc[Question, Answer] = Rpc(
    kind=MessageKind.RPC, owner="echo", noun="text", verb="repeat", payload=Question, reply=Answer,
    description="say it again", producers=("asker",), consumers=("echo",), timeout_s=5.0,
)  # fmt: skip
NOTED: Topic[Note] = Topic(
    kind=MessageKind.EVT, owner="echo", noun="note", verb="taken", key="letter", payload=Note,
    description="a note was taken", producers=("echo",), consumers=("reader",),
)  # fmt: skip
BURNT: Topic[Note] = Topic(
    kind=MessageKind.EVT, owner="echo", noun="note", verb="burnt", key="letter", payload=Note,
    description="a note is gone", producers=("echo",), consumers=("reader",),
)  # fmt: skip
NOTES = Stream(name="NOTES", owner="echo", topics=(NOTED,), max_age_s=3600)
ASHES = Stream(name="ASHES", owner="echo", topics=(BURNT,), max_age_s=3600)


@pytest.fixture(scope="module")
async def nats() -> AsyncIterator[NatsServer]:
    """A server per module, so that state left by a failed test does not affect other modules."""
    async with running_nats() as server:
        yield server


@pytest.fixture
async def stream(nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection to a server on which the streams of earlier tests were deleted."""
    async with connected(nats.url) as bus:
        for name in await bus.jetstream.streams_info():
            await bus.jetstream.delete_stream(name.config.name or "")
        yield bus


def bus_at(url: str, name: str = "echo", *, user: str | None = None, password: str | None = None) -> Bus:
    return Bus(url, name=name, user=user, password=password, inbox_prefix=f"_INBOX_{name}")


@asynccontextmanager
async def connected(url: str, name: str = "echo", serve: Callable[[Bus], None] | None = None) -> AsyncIterator[Bus]:
    bus = bus_at(url, name)
    if serve is not None:
        serve(bus)
    try:
        await bus.start()
        yield bus
    finally:
        await bus.stop()


@dataclass
class Outbox:
    """A database with an outbox, accessed without the chassis."""

    url: str
    sql: asyncpg.Connection
    relays: list[Database] = field(default_factory=list)

    async def relay(self, bus: Bus) -> OutboxRelay:
        database = database_with_long_timeout(self.url, name="relay")
        self.relays.append(database)
        return OutboxRelay(database, bus)

    async def write(self, notes: Iterator[Note] | list[Note], topic: Topic[Note] = NOTED) -> None:
        rows = [(topic.subject(key=note.letter), note.model_dump_json().encode()) for note in notes]
        await self.sql.executemany(
            "INSERT INTO outbox (message_id, subject, body) VALUES (gen_random_uuid(), $1, $2)", rows
        )

    async def waiting(self) -> int:
        found: int = await self.sql.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        return found


@pytest.fixture(scope="module")
async def database_url(postgres_server: PostgresServer) -> str:
    return await postgres_server.create_database("scheduler")  # any service whose schema has an outbox


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    sql = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    outbox = Outbox(database_url, sql)
    try:
        await sql.execute("TRUNCATE outbox")
        yield outbox
    finally:
        for database in outbox.relays:
            await database.close()
        await sql.close()


async def messages(bus: Bus, stream: str = NOTES.name) -> list[RawStreamMsg]:
    """Return all messages of a stream in order."""
    state = (await bus.jetstream.stream_info(stream)).state
    return [
        await bus.jetstream.get_msg(stream, sequence, direct=True)
        for sequence in range(state.first_seq, state.last_seq + 1)
    ]


async def stored(bus: Bus, stream: str = NOTES.name) -> list[tuple[str, Note]]:
    """Return all messages of a stream in order: Nats-Msg-Id and content."""
    return [
        ((message.headers or {})["Nats-Msg-Id"], Note.model_validate_json(message.data or b""))
        for message in await messages(bus, stream)
    ]


async def count(bus: Bus, stream: str = NOTES.name) -> int:
    state = (await bus.jetstream.stream_info(stream)).state
    return state.messages
