"""A durable consumer handles each message at least once or stores it as a dead letter; no message blocks the others."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from chassis.messaging.stream_consumer import RedeliverLater
from contracts.wire.dead_letters import (
    DeadLetterFailedAgain,
    DeadLetterNotRedrivable,
    ListDeadLetters,
    RedriveDeadLetter,
    UnknownDeadLetter,
)
from contracts.wire.topic import DurableConsumer
from tests.integration.chassis.conftest import BURNT, NOTED, NOTES, Note, connected
from tests.integration.chassis.note_consumers import (
    CONSUMER,
    IMPATIENT,
    POISON,
    SECOND,
    Handler,
    acknowledged,
    consuming,
    letters_at,
    list_letters,
    store_notes,
)
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.waiting import until

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
async def letters_url(postgres_server: PostgresServer) -> str:
    return await postgres_server.create_database("notifier")  # any service that consumes streams


@pytest.fixture
async def letters(letters_url: str) -> AsyncIterator[DeadLetterStore]:
    sql = await asyncpg.connect(letters_url.replace("+asyncpg", ""))
    await sql.execute("TRUNCATE dead_letters")
    await sql.close()
    database = database_with_long_timeout(letters_url)
    try:
        yield DeadLetterStore(database)
    finally:
        await database.close()


@pytest.fixture
async def faults(letters_url: str) -> AsyncIterator[CommitFaults]:
    async with running_faults(letters_url) as faults:
        yield faults


async def test_consumer_reads_in_order_and_resumes_where_it_stopped(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await store_notes(stream, *range(1, 251))  # stored before the consumer starts; more than one batch
    first, second = Handler(), Handler()
    async with consuming(stream, first, letters):
        await until(lambda: len(first.seqs) == 250)
        await acknowledged(stream, 250)
    await store_notes(stream, 251, 252)
    async with consuming(stream, second, letters):
        await until(lambda: len(second.seqs) == 2)
        await acknowledged(stream, 252)
    assert first.seqs == list(range(1, 251))
    assert second.seqs == [251, 252]


async def test_handler_receives_the_metadata_of_each_message(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await store_notes(stream, 7)
    stored = (await stream.jetstream.get_msg(NOTES.name, 1, direct=True)).time
    handler = Handler()
    async with consuming(stream, handler, letters):
        await until(lambda: handler.seqs == [7])
    (metadata,) = handler.metadata
    assert (metadata.subject, metadata.tenant, metadata.key) == (NOTED.subject(key="a"), "_", "a")
    assert (metadata.sequence, metadata.delivery, metadata.redelivered) == (1, 1, False)
    assert stored is not None
    assert metadata.published_at is not None
    assert abs((metadata.published_at - stored).total_seconds()) < 0.001


async def test_two_consumers_of_one_service_each_receive_every_message(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    first, second = Handler(), Handler()
    async with consuming(stream, first, letters), consuming(stream, second, letters, SECOND):
        await store_notes(stream, 1, 2)
        await until(lambda: first.seqs == second.seqs == [1, 2])
    assert (CONSUMER.name, SECOND.name) == ("reader", "reader-second")


@pytest.mark.requirement("F-73")
async def test_only_the_message_that_fails_is_delivered_again(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await store_notes(stream, 1, 2, 3)
    handler = Handler(lambda note, told: RuntimeError() if note.seq == 2 and told.delivery < 3 else None)
    async with consuming(stream, handler, letters) as consumer:
        await until(lambda: sorted(handler.seqs) == [1, 2, 3])
        await acknowledged(stream, 3)
        assert handler.attempts == [(2, 1), (2, 1), (2, 2)]  # delivered in a batch, then alone, then after the backoff
        assert handler.metadata[-1].delivery == 3
        assert await list_letters(letters, consumer) == []


@pytest.mark.requirement("F-73")
async def test_message_becomes_a_dead_letter_when_its_handler_always_raises(
    stream: Bus, letters: DeadLetterStore
) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    handler = Handler(lambda note, _: RuntimeError("cannot\x00") if note.seq == 2 else None)
    async with consuming(stream, handler, letters) as consumer:
        await store_notes(stream, 1, 2)
        await acknowledged(stream, 2)
        await store_notes(stream, 3)
        await until(lambda: handler.seqs == [1, 3])
        (letter,) = await list_letters(letters, consumer)
    assert [attempt for _, attempt in handler.attempts][-2:] == [2, 3]
    assert (letter.code, letter.reason, letter.attempts) == ("internal", "RuntimeError: cannot\ufffd", 3)
    assert (letter.stream, letter.consumer, letter.sequence) == (NOTES.name, CONSUMER.name, 2)
    assert letter.subject == NOTED.subject(key="a")
    assert letter.excerpt == Note(letter="a", seq=2).model_dump_json()
    assert letter.redrivable
    assert letter.first_failed_at < letter.last_failed_at


@pytest.mark.requirement("F-70", "F-71", "F-72", "table notifier.dead_letters", "table gateway.dead_letters")
async def test_poison_of_every_kind_becomes_a_dead_letter_at_once(stream: Bus, letters: DeadLetterStore) -> None:
    other = "evt.echo.note.burnt.v1._.a"
    await stream.jetstream.add_stream(StreamConfig(name=NOTES.name, subjects=[NOTED.pattern, BURNT.pattern]))
    handler = Handler()
    await store_notes(stream, 1)
    for poison in POISON.values():
        await stream.jetstream.publish(NOTED.subject(key="a"), poison)
    await stream.jetstream.publish(other, Note(letter="a", seq=5).model_dump_json().encode())
    await store_notes(stream, 2)
    async with consuming(stream, handler, letters) as consumer:
        await until(lambda: handler.seqs == [1, 2])
        await acknowledged(stream, len(POISON) + 3)
        listed = await list_letters(letters, consumer)
    found = sorted(listed, key=lambda letter: letter.sequence or 0)  # ids of the same millisecond are not ordered
    assert [letter.sequence for letter in found] == list(range(2, len(POISON) + 3))
    assert [letter.attempts for letter in found] == [1] * (len(POISON) + 1)
    codes = ["message.invalid"] * (len(POISON) - 1) + ["message.too_large", "message.unknown_type"]
    assert [letter.code for letter in found] == codes
    assert [letter.size_bytes for letter in found[:-1]] == [len(poison) for poison in POISON.values()]
    assert all(letter.reason and len(letter.excerpt) <= 16 << 10 for letter in found)
    assert [letter.redrivable for letter in found[-2:]] == [False, True]


async def test_unavailable_database_does_not_use_up_deliveries(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    tries = 0

    def fails(*_: object) -> Exception | None:
        nonlocal tries
        tries += 1
        return ConnectionRefusedError() if tries <= CONSUMER.max_deliver else None

    handler = Handler(fails)
    async with consuming(stream, handler, letters):
        await store_notes(stream, 1)
        await until(lambda: handler.seqs == [1])
    assert handler.attempts == [(1, 1)] * CONSUMER.max_deliver
    assert handler.metadata[0].delivery == 1


async def test_message_to_redeliver_later_never_becomes_a_dead_letter(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    too_early = RedeliverLater("not yet")
    handler = Handler(lambda _, told: too_early if told.delivery <= CONSUMER.max_deliver + 2 else None)
    async with consuming(stream, handler, letters) as consumer:
        await store_notes(stream, 1, 2)
        await until(lambda: sorted(handler.seqs) == [1, 2])
        assert await list_letters(letters, consumer) == []
    assert {metadata.delivery for metadata in handler.metadata} == {CONSUMER.max_deliver + 3}


@pytest.mark.requirement("F-74")
async def test_message_stays_in_the_stream_until_its_dead_letter_is_stored(
    stream: Bus, letters: DeadLetterStore
) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await stream.jetstream.publish(NOTED.subject(key="a"), b"{")
    handler = Handler()

    async def redelivered() -> bool:
        try:
            info = await stream.jetstream.consumer_info(NOTES.name, CONSUMER.name)
        except NotFoundError:
            return False
        return bool(info.num_redelivered)

    async with letters_at(NOWHERE) as unavailable, consuming(stream, handler, unavailable, IMPATIENT):
        await until(redelivered)
    async with consuming(stream, handler, letters, IMPATIENT) as consumer:
        await acknowledged(stream, 1)
        (letter,) = await list_letters(letters, consumer)
    assert letter.attempts >= 2


async def test_redriven_message_is_handled_and_its_dead_letter_deleted(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    handler = Handler(lambda *_: RuntimeError("broken"))
    async with consuming(stream, handler, letters) as consumer:
        await store_notes(stream, 1)
        await acknowledged(stream, 1)
        (letter,) = await list_letters(letters, consumer)
        dead = DeadLetters("reader", letters, (consumer,))
        with pytest.raises(DeadLetterFailedAgain, match="RuntimeError: broken"):
            await dead.redrive(RedriveDeadLetter(id=letter.id))
        (again,) = await list_letters(letters, consumer)
        assert (again.attempts, again.first_failed_at) == (letter.attempts + 1, letter.first_failed_at)
        assert again.last_failed_at > letter.last_failed_at
        handler.fails = lambda *_: ConnectionRefusedError()
        with pytest.raises(ConnectionRefusedError):
            await dead.redrive(RedriveDeadLetter(id=letter.id))
        handler.fails = lambda *_: None
        await dead.redrive(RedriveDeadLetter(id=letter.id))
        assert (handler.seqs, handler.metadata[0].delivery) == ([1], letter.attempts + 2)
        assert await list_letters(letters, consumer) == []
        with pytest.raises(UnknownDeadLetter):
            await dead.redrive(RedriveDeadLetter(id=letter.id))


@pytest.mark.requirement("F-94")
async def test_redrive_succeeds_although_the_reply_to_its_commit_is_lost(
    stream: Bus, letters: DeadLetterStore, faults: CommitFaults
) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    handler = Handler(lambda *_: RuntimeError("broken"))
    async with letters_at(faults.url) as faulty, consuming(stream, handler, faulty) as consumer:
        await store_notes(stream, 1)
        await acknowledged(stream, 1)
        (letter,) = await list_letters(letters, consumer)
        handler.fails = lambda *_: None
        faults.cut_commit("DELETE FROM dead_letters", when="after")
        await DeadLetters("reader", faulty, (consumer,)).redrive(RedriveDeadLetter(id=letter.id))
        assert faults.has_cut
        assert await list_letters(letters, consumer) == []


async def test_truncated_dead_letter_cannot_be_redriven(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await stream.jetstream.publish(NOTED.subject(key="a"), POISON["too large"])
    await stream.jetstream.publish(NOTED.subject(key="a"), POISON["null"])
    async with consuming(stream, Handler(), letters) as consumer:
        await acknowledged(stream, 2)
        large, unreadable = await list_letters(letters, consumer)
        with pytest.raises(DeadLetterNotRedrivable, match="too large"):
            await DeadLetters("reader", letters, (consumer,)).redrive(RedriveDeadLetter(id=large.id))
        with pytest.raises(DeadLetterFailedAgain):
            await DeadLetters("reader", letters, (consumer,)).redrive(RedriveDeadLetter(id=unreadable.id))
        with pytest.raises(DeadLetterNotRedrivable, match="consumer"):
            await DeadLetters("reader", letters, ()).redrive(RedriveDeadLetter(id=unreadable.id))


async def test_dead_letters_are_paged_and_pruned_by_count_and_age(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    for number in range(5):
        await stream.jetstream.publish(NOTED.subject(key="a"), b"%d" % number)
    async with consuming(stream, Handler(), letters):
        await acknowledged(stream, 5)
    dead = DeadLetters("reader", letters, ())
    first = await dead.list_page(ListDeadLetters(limit=3))
    rest = await dead.list_page(ListDeadLetters(limit=3, before=first.letters[-1].id))
    assert [letter.excerpt for letter in (*first.letters, *rest.letters)] == ["4", "3", "2", "1", "0"]
    assert (first.more, rest.more) == (True, False)
    assert (await dead.list_page(ListDeadLetters(node="gpu-1"))).letters == ()
    await letters.prune(keep=2)
    assert [letter.excerpt for letter in (await dead.list_page(ListDeadLetters())).letters] == ["4", "3"]
    await letters.prune(age_s=0)
    assert (await dead.list_page(ListDeadLetters())).letters == ()


@pytest.mark.requirement("F-69")
async def test_deleted_consumer_is_recreated(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    handler = Handler()
    async with consuming(stream, handler, letters):
        await store_notes(stream, 1)
        await until(lambda: handler.seqs == [1])
        deleted = await stream.jetstream.consumer_info(NOTES.name, CONSUMER.name)
        assert await stream.jetstream.delete_consumer(NOTES.name, CONSUMER.name)
        await store_notes(stream, 2)
        await until(lambda: 2 in handler.seqs)
        recreated = await stream.jetstream.consumer_info(NOTES.name, CONSUMER.name)
        assert deleted.created is not None
        assert recreated.created is not None
        assert recreated.created > deleted.created
    assert set(handler.seqs) == {1, 2}


@pytest.mark.requirement("F-69")
async def test_recreated_stream_is_consumed(stream: Bus, letters: DeadLetterStore) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    handler = Handler()
    async with consuming(stream, handler, letters):
        await store_notes(stream, 1)
        await until(lambda: handler.seqs == [1])
        await stream.jetstream.delete_stream(NOTES.name)
        assert await streams.create_missing_streams(stream, (NOTES,)) == {NOTES.name}
        await store_notes(stream, 2)
        await until(lambda: handler.seqs == [1, 2])


async def test_consumer_waits_for_a_missing_stream(stream: Bus, letters: DeadLetterStore) -> None:
    handler = Handler()
    async with consuming(stream, handler, letters) as consumer:
        await consumer.tick()
        await streams.create_missing_streams(stream, (NOTES,))
        await store_notes(stream, 1)
        await until(lambda: handler.seqs == [1])


@pytest.mark.requirement("F-65")
async def test_consumer_resumes_after_a_server_restart(own_nats: NatsServer, letters: DeadLetterStore) -> None:
    async with connected(own_nats.url) as bus:
        await streams.create_missing_streams(bus, (NOTES,))
        handler = Handler()
        async with consuming(bus, handler, letters):
            await store_notes(bus, 1)
            await until(lambda: handler.seqs == [1])
            await acknowledged(bus, 1)
            own_nats.kill()
            await until(lambda: not bus.connected)
            await own_nats.start()
            await until(lambda: bus.connected)
            await store_notes(bus, 2)
            await until(lambda: 2 in handler.seqs)
    assert set(handler.seqs) == {1, 2}  # the server may have been killed before it stored the first ack


@pytest.mark.parametrize(
    "fields", [{"topic": BURNT}, {"max_deliver": 0}, {"backoff_s": ()}], ids=["topic", "deliveries", "backoff"]
)
def test_contradictory_consumer_declaration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=NOTES.name if "topic" in fields else CONSUMER.name):
        DurableConsumer(**({"stream": NOTES, "topic": NOTED, "service": "reader"} | fields))  # type: ignore[arg-type]
