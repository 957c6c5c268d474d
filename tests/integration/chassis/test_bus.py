"""Requests and replies on a real server. The connection must not have the two faults described in decision 0003."""

import asyncio
import gc
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from chassis.database.postgres import CommitUnknown
from chassis.messaging.bus import Bus
from chassis.messaging.serving import ERROR_CODE_HEADER, FailedRequest
from contracts.wire.errors import (
    ErrorKind,
    FieldError,
    InternalFault,
    MessageTooLarge,
    Refusal,
    RelayedRefusal,
    Unavailable,
)
from contracts.wire.topic import Address, Rpc
from tests.integration.chassis.conftest import ECHO, Answer, Question, bus_at, connected
from tests.kit.nats import NatsServer, wait_until_processed
from tests.kit.waiting import until

TICK_S = 0.01
TICKS = 200
RETRYING = 3
ITS_OWN = "_INBOX_raw.one"

leaves_sockets = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")


class NoSuchWord(Refusal):
    """{word} is not a word."""

    kind, code = ErrorKind.NOT_FOUND, "echo.no_such_word"


async def echo(question: Question, _: Address) -> Answer:
    if question.text == "refuse":
        errors = (FieldError(pointer="/text", code="unknown", message="m", allowed=("a", "b")),)
        raise NoSuchWord(word="x", errors=errors, retry_after_s=2.5)
    if question.text == "crash":
        raise ZeroDivisionError
    return Answer(text=question.text * question.times)


@pytest.fixture
async def asker(nats: NatsServer) -> AsyncIterator[Bus]:
    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, echo)),
        connected(nats.url, "asker") as asker,
    ):
        yield asker


async def answers(bus: Bus) -> bool:
    try:
        return await bus.request(ECHO, Question(text="a", times=2)) == Answer(text="aa")
    except Unavailable:
        return False


async def test_long_outage_does_not_block_the_event_loop(own_nats: NatsServer) -> None:
    ticks, running = 0, True

    async def tick() -> None:
        nonlocal ticks
        while running:
            await asyncio.sleep(TICK_S)
            ticks += 1

    async with (
        connected(own_nats.url, serve=lambda bus: bus.serve(ECHO, echo)) as served,
        connected(own_nats.url, "asker") as asker,
    ):
        assert await answers(asker)
        own_nats.kill()
        await until(lambda: not served.connected and not asker.connected)
        ticker = asyncio.create_task(tick())
        while ticks < TICKS:
            before = ticks
            with pytest.raises(Unavailable):
                await asker.request(ECHO, Question(text="a"))
            assert ticks == before  # refused at once, without a wait for the timeout
            await until(lambda before=before: ticks > before)  # type: ignore[misc]
        await own_nats.start()
        await until(lambda: answers(asker))
        running = False
        await ticker


def login(password: str) -> str:
    return f'authorization {{ users: [ {{ user: "echo", password: "{password}" }} ] }}'


def refusals(server: NatsServer) -> int:
    return len(re.findall(r"authentication error", server.read_log()))


@pytest.fixture
async def guarded() -> AsyncIterator[NatsServer]:
    server = NatsServer(login("right"))
    try:
        await server.start()
        yield server
    finally:
        server.remove()
        gc.collect()  # nats-py leaves the socket of a refused attempt to the garbage collector


@leaves_sockets
async def test_authorization_error_while_reconnecting_keeps_the_connection_alive(guarded: NatsServer) -> None:
    served = bus_at(guarded.url, user="echo", password="right")
    asker = bus_at(guarded.url, "asker", user="echo", password="right")
    served.serve(ECHO, echo)
    try:
        await served.start()
        await asker.start()
        assert await answers(asker)
        assert refusals(guarded) == 0
        guarded.kill()
        guarded.config = login("wrong")
        await guarded.start()
        await until(lambda: refusals(guarded) >= 2 * RETRYING)  # both were refused and retried
        assert not served.connected
        guarded.kill()
        guarded.config = login("right")
        await guarded.start()
        await until(lambda: answers(asker))
    finally:
        await asker.stop()
        await served.stop()


@leaves_sockets
async def test_revoked_and_restored_login_keeps_the_connection_alive(guarded: NatsServer) -> None:
    """A configuration reload changes passwords and disconnects open connections."""
    served = bus_at(guarded.url, user="echo", password="right")
    asker = bus_at(guarded.url, "asker", user="echo", password="right")
    served.serve(ECHO, echo)

    def reload(password: str) -> None:
        (guarded.folder / "conf").write_text(login(password))
        guarded.signal(signal.SIGHUP)

    try:
        await served.start()
        await asker.start()
        assert await answers(asker)
        reload("wrong")
        await until(lambda: not served.connected and not asker.connected)
        reload("right")
        await until(lambda: answers(asker))
    finally:
        await asker.stop()
        await served.stop()


async def test_start_waits_for_a_missing_nats_server(own_nats: NatsServer) -> None:
    own_nats.kill()
    served, asker = bus_at(own_nats.url), bus_at(own_nats.url, "asker")
    served.serve(ECHO, echo)
    called: list[str] = []
    for bus, name in ((served, "served"), (asker, "asker")):
        bus.on_connect(partial(called.append, name))
    starting = [asyncio.create_task(bus.start()) for bus in (served, asker)]
    try:
        with capture_logs() as lines:
            with pytest.raises(Unavailable):
                await asker.request(ECHO, Question(text="a"))
            with pytest.raises(ConnectionError):
                await asker.probe()
            assert called == []
            await own_nats.start()
            async with asyncio.timeout(20):
                await asyncio.gather(*starting)
            assert await answers(asker)
            assert sorted(called) == ["asker", "served"]
            own_nats.kill()
            await own_nats.start()
            await until(lambda: min(called.count("asker"), called.count("served")) >= 2)
            await until(lambda: answers(asker))
            connections = [line for line in lines if line["event"] in {"bus.connected", "bus.reconnected"}]
            assert len(called) == len(connections)  # the connection may break once more on a slow machine
    finally:
        for task in starting:
            task.cancel()
        await asker.stop()
        await served.stop()


@asynccontextmanager
async def overheard(server: NatsServer) -> AsyncIterator[tuple[str, bytearray]]:
    """Run a proxy of the server; yield its URL and a buffer of all bytes that clients send."""
    said = bytearray()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, note: bytearray) -> None:
        while data := await source.read(65_536):
            note += data
            sink.write(data)
        sink.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(carry(reader, forth, note=said), carry(back, writer, note=bytearray()))

    async with await asyncio.start_server(take, "127.0.0.1", 0) as relay:
        yield f"nats://127.0.0.1:{relay.sockets[0].getsockname()[1]}", said


async def test_subscriptions_are_registered_when_start_returns(nats: NatsServer) -> None:
    """nats-py's flush can be sent before a pending subscription, so one flush is not enough."""
    async with overheard(nats) as (url, said), connected(url, serve=lambda bus: bus.serve(ECHO, echo)):
        assert said.rindex(b"PING\r\n") > said.rindex(b"SUB ")


async def test_message_that_failed_to_send_is_not_sent_later(own_nats: NatsServer) -> None:
    """Otherwise a request that failed as unavailable would be executed once the server is back."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    heard: list[bytes] = []

    async def slowly(question: Question, _: Address) -> Answer:
        begun.set()
        await go_on.wait()
        return Answer(text=question.text)

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    async with connected(own_nats.url, "raw", serve=lambda bus: bus.serve(ECHO, slowly)) as bus:

        async def ask(text: str) -> None:
            await bus._client.publish(ECHO.subject(), Question(text=text).model_dump_json().encode(), reply=ITS_OWN)

        await bus._client.subscribe(ITS_OWN, cb=hear)
        await ask("early")
        await begun.wait()
        own_nats.kill()
        await until(lambda: not bus.connected)
        go_on.set()  # the reply is sent while there is no connection
        await until(lambda: not bus._tasks)
        await own_nats.start()
        await until(lambda: bus.connected)
        await ask("late")  # same connection, so a buffered message would arrive first
        await until(lambda: bool(heard))
    assert {Answer.model_validate_json(answer).text for answer in heard} == {"late"}


async def test_refusal_keeps_its_code_and_details_over_nats(asker: Bus) -> None:
    with pytest.raises(RelayedRefusal) as relayed:
        await asker.request(ECHO, Question(text="refuse"))
    refused = relayed.value.details
    assert (refused.code, refused.kind, refused.message) == (
        "echo.no_such_word",
        ErrorKind.NOT_FOUND,
        "x is not a word.",
    )
    assert refused.errors == (FieldError(pointer="/text", code="unknown", message="m", allowed=("a", "b")),)
    assert refused.retry_after_s == 2.5


@pytest.mark.requirement("F-71", "B-100")
@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"text": "s3cret-a", "times": 77}', {"/times"}),
        (b'{"text": ["s3cret-b"], "times": "s3cret-c"}', {"/text", "/times"}),
        (b'{"text": "a", "more": "s3cret-d"}', {"/more"}),
        (b'{"times": 1}', {"/text"}),
        (b'"s3cret-e"', {""}),
        (b"s3cret-f {", {""}),
        (b"", {""}),
        (b"\xff\xfe", {""}),
    ],
)
async def test_malformed_message_is_refused_without_echoing_it(
    asker: Bus, nats: NatsServer, body: bytes, pointers: set[str]
) -> None:
    reply = await ask_raw(nats, body)
    assert reply.headers is not None
    assert reply.headers[ERROR_CODE_HEADER] == "422"
    assert b"s3cret" not in reply.data
    assert b"77" not in reply.data
    with pytest.raises(RelayedRefusal) as relayed:
        await asker.request(RAW, Anything(root=body))
    refused = relayed.value.details
    assert (refused.code, refused.kind) == ("message.invalid", ErrorKind.INVALID)
    assert {error.pointer for error in refused.errors} == pointers
    assert await answers(asker)


class Anything(Question):
    """A message whose payload is sent as given, valid JSON or not."""

    text: str = ""
    root: bytes

    def model_dump_json(self, **_: Any) -> Any:
        return self

    def encode(self) -> bytes:
        return self.root


RAW: Rpc[Anything, Answer] = Rpc(
    kind=ECHO.kind, owner="echo", noun="text", verb="repeat", payload=Anything, reply=Answer,
    description="", producers=(), consumers=("echo",),
)  # fmt: skip


async def ask_raw(nats: NatsServer, body: bytes) -> Msg:
    """Send a request; return the raw reply."""
    async with connected(nats.url, "raw") as bus:
        got: asyncio.Queue[Msg] = asyncio.Queue()
        await bus._client.subscribe("_INBOX_raw.one", cb=got.put)
        await bus._client.publish(ECHO.subject(), body, reply="_INBOX_raw.one")
        async with asyncio.timeout(5):
            return await got.get()


async def test_handler_exception_fails_only_its_own_request(asker: Bus) -> None:
    for _ in range(3):
        with pytest.raises(RelayedRefusal) as relayed:
            await asker.request(ECHO, Question(text="crash"))
        refused = relayed.value.details
        assert (refused.code, refused.kind) == ("internal", ErrorKind.INTERNAL)
        assert "fault" in refused.message
        assert await answers(asker)


async def test_unstorable_value_is_refused_as_invalid_and_logged(nats: NatsServer) -> None:
    failed: list[FailedRequest] = []
    faults: dict[str, Exception] = {
        "nul": asyncpg.CharacterNotInRepertoireError("invalid byte sequence: 0x00"),
        "number": asyncpg.exceptions._base.DataError("value out of int32 range"),
        "surrogate": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        "bug": ZeroDivisionError("a bug"),
    }

    async def store(question: Question, _: Address) -> Answer:
        raise faults[question.text]

    async def note(failure: FailedRequest) -> None:
        failed.append(failure)
        raise RuntimeError("what notes it has a bug, too")

    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, store, on_failure=note)),
        connected(nats.url, "asker") as asker,
    ):
        codes = []
        for text in faults:
            with pytest.raises(RelayedRefusal) as relayed:
                await asker.request(ECHO, Question(text=text))
            codes.append((relayed.value.details.code, relayed.value.details.kind))
    assert codes == [("message.invalid", ErrorKind.INVALID)] * 3 + [("internal", ErrorKind.INTERNAL)]
    assert [failure.code for failure in failed] == [code for code, _ in codes]
    assert [Question.model_validate_json(failure.body).text for failure in failed] == list(faults)
    assert failed[-1].reason == "ZeroDivisionError: a bug"


@pytest.mark.requirement("F-72")
async def test_oversized_message_is_reported_as_too_large(nats: NatsServer) -> None:
    async def huge(question: Question, _: Address) -> Answer:
        return Answer(text=question.text * (64 << 20))

    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, huge)),
        connected(nats.url, "asker") as asker,
    ):
        with pytest.raises(MessageTooLarge):
            await asker.request(ECHO, Question(text="x" * (32 << 20)))
        with pytest.raises(RelayedRefusal) as relayed:
            await asker.request(ECHO, Question(text="x"), within_s=20)  # encoding the reply is slow
    assert relayed.value.details.code == "internal"


async def test_unreadable_reply_is_an_internal_error(nats: NatsServer) -> None:
    async with connected(nats.url, "asker") as asker, connected(nats.url, "odd") as odd:

        async def answer(message: Msg) -> None:
            await odd._client.publish(message.reply, b'{"text": "\\ud800"}')

        await odd._client.subscribe(ECHO.pattern, cb=answer)
        await wait_until_processed(odd._client)
        with pytest.raises(InternalFault):
            await asker.request(ECHO, Question(text="a"))


@pytest.mark.requirement("F-9")
async def test_unavailable_database_is_retried_once_then_reported(nats: NatsServer) -> None:
    tried: list[str] = []

    async def away(question: Question, _: Address) -> Answer:
        tried.append(question.text)
        if question.text == "always" or len(tried) == 1:
            raise ConnectionRefusedError
        return Answer(text=question.text)

    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, away)),
        connected(nats.url, "asker") as asker,
    ):
        assert await asker.request(ECHO, Question(text="once")) == Answer(text="once")
        with pytest.raises(RelayedRefusal) as relayed:
            await asker.request(ECHO, Question(text="always"))
    assert relayed.value.details.code == Unavailable.code
    assert tried == ["once", "once", "always", "always"]


@pytest.mark.requirement("F-94")
async def test_request_is_not_repeated_if_its_transaction_may_have_committed(nats: NatsServer) -> None:
    tried: list[str] = []

    async def commit_with_unknown_outcome(question: Question, _: Address) -> Answer:
        tried.append(question.text)
        raise CommitUnknown

    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, commit_with_unknown_outcome)),
        connected(nats.url, "asker") as asker,
    ):
        with pytest.raises(RelayedRefusal) as relayed:
            await asker.request(ECHO, Question(text="a"))
    assert relayed.value.details.code == Unavailable.code
    assert tried == ["a"]


async def test_handler_crash_does_not_affect_concurrent_requests(asker: Bus) -> None:
    asked = [asker.request(ECHO, Question(text="crash" if index % 10 == 0 else str(index))) for index in range(50)]
    async with asyncio.timeout(20):
        answered = await asyncio.gather(*asked, return_exceptions=True)
    for index, answer in enumerate(answered):
        if index % 10 == 0:
            assert isinstance(answer, RelayedRefusal)
        else:
            assert answer == Answer(text=str(index))


@pytest.mark.requirement("F-81")
async def test_missing_responder_is_reported_as_unavailable(nats: NatsServer) -> None:
    async with connected(nats.url, "asker") as asker:
        with pytest.raises(Unavailable) as unavailable:
            await asker.request(ECHO, Question(text="a"))
        assert type(unavailable.value.__cause__).__name__ == "NoRespondersError"  # and without waiting for a timeout
        assert unavailable.value.details.message == "The service echo does not answer now. Try again after Retry-After."


async def test_missing_reply_is_reported_as_unavailable(nats: NatsServer) -> None:
    never = asyncio.Event()

    async def keep(_: Question, __: Address) -> Answer:
        await never.wait()
        return Answer(text="late")

    slow: Rpc[Question, Answer] = Rpc(
        kind=ECHO.kind, owner="echo", noun="text", verb="keep", payload=Question, reply=Answer,
        description="", producers=(), consumers=("echo",), timeout_s=0.2,
    )  # fmt: skip
    async with (
        connected(nats.url, serve=lambda bus: bus.serve(slow, keep)),
        connected(nats.url, "asker") as asker,
    ):
        with pytest.raises(Unavailable) as unavailable:
            await asker.request(slow, Question(text="a"))
        assert isinstance(unavailable.value.__cause__, TimeoutError)
        never.set()


async def test_replicas_share_requests(nats: NatsServer) -> None:
    answered: list[int] = []

    def serve(number: int):
        async def handler(question: Question, _: Address) -> Answer:
            answered.append(number)
            return Answer(text=question.text)

        return lambda bus: bus.serve(ECHO, handler)

    async with (
        connected(nats.url, serve=serve(1)),
        connected(nats.url, serve=serve(2)),
        connected(nats.url, "asker") as asker,
    ):
        for index in range(40):
            assert await asker.request(ECHO, Question(text=str(index))) == Answer(text=str(index))
    assert len(answered) == 40
    assert set(answered) == {1, 2}


@pytest.mark.requirement("F-166")
async def test_requests_in_progress_are_answered_before_shutdown(nats: NatsServer) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(question: Question, _: Address) -> Answer:
        begun.set()
        await go_on.wait()
        return Answer(text=question.text)

    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, slowly)) as served,
        connected(nats.url, "asker") as asker,
    ):
        asked = asyncio.create_task(asker.request(ECHO, Question(text="a")))
        await begun.wait()
        stopping = asyncio.create_task(served.stop())
        go_on.set()
        async with asyncio.timeout(10):
            assert await asked == Answer(text="a")
            await stopping


@pytest.mark.requirement("O-18")
async def test_no_request_is_lost_when_one_of_two_replicas_stops(nats: NatsServer) -> None:
    answered: list[int] = []

    def serve(number: int):
        async def handler(question: Question, _: Address) -> Answer:
            answered.append(number)
            return Answer(text=question.text)

        return lambda bus: bus.serve(ECHO, handler)

    async with (
        connected(nats.url, serve=serve(1)) as first,
        connected(nats.url, serve=serve(2)),
        connected(nats.url, "asker") as asker,
    ):

        async def ask_until_stopped() -> None:
            while not stopped.done():
                assert await asker.request(ECHO, Question(text="a")) == Answer(text="a")

        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        askers = [asyncio.create_task(ask_until_stopped()) for _ in range(20)]
        await until(lambda: set(answered) == {1, 2})
        await first.stop()
        answered.clear()
        await until(lambda: len(answered) > 100)
        stopped.set_result(None)
        await asyncio.gather(*askers)
    assert set(answered) == {2}
