"""Requests that share a message: each has its own answer, whatever becomes of the others."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from chassis.ids import is_request_id
from chassis.messaging.bus import Bus
from chassis.messaging.gather import AT_MOST, AT_MOST_BYTES, HEADER, Part, pack, unpack
from chassis.messaging.serving import ERROR_CODE_HEADER, REQUEST_ID_HEADER, RETRY_AFTER_HEADER
from chassis.offload import INLINE_BYTES
from chassis.telemetry.logs import bound, bound_here
from contracts.wire.errors import InternalFault, Kind, Refusal, Relayed, Unavailable
from contracts.wire.topic import Address
from tests.integration.chassis.conftest import ECHO, Answer, Question, connected
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

TOGETHER = replace(ECHO, verb="gather", gathers=True)
MANY = 200
PROMPT_S = 10  # nothing takes as long here; who is forgotten waits for ever


class NoSuchWord(Refusal):
    """That is not a word."""

    kind, code = Kind.NOT_FOUND, "echo.no_such_word"


class Echo:
    """Answers, refuses or crashes; holds back what is asked while ``open`` is not set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []
        self.saw: set[tuple[str, str, str]] = set()  # tenant, text, and the request id that its log lines bear

    async def __call__(self, question: Question, address: Address) -> Answer:
        self.asked.append(question.text)
        self.saw.add((address.tenant, question.text, bound_here().get("request_id", "")))
        await self.open.wait()
        if question.text.startswith("refuse"):
            raise NoSuchWord
        if question.text.startswith("crash"):
            raise ZeroDivisionError
        return Answer(text=question.text)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def asker(nats: NatsServer, echo: Echo) -> AsyncIterator[Bus]:
    async with (
        connected(nats.url, serve=lambda bus: bus.serve(TOGETHER, echo)),
        connected(nats.url, "asker") as asker,
    ):
        yield asker


@pytest.fixture
async def messages(nats: NatsServer) -> AsyncIterator[list[Msg]]:
    """Everything that is sent to the subject, seen by somebody else."""
    seen: list[Msg] = []

    async def see(message: Msg) -> None:
        seen.append(message)

    async with connected(nats.url, "watcher") as watcher:
        await watcher._client.subscribe(TOGETHER.pattern, cb=see)
        await settled(watcher)
        yield seen


async def settled(bus: Bus) -> None:
    """A round trip, behind which the server knows every subscription. (nats-py's flush overtakes them.)"""
    with pytest.raises(Unavailable):
        await bus.request(replace(ECHO, verb="nobody"), Question(text="a"))


def parts(messages: list[Msg]) -> list[list[Part]]:
    return [unpack(message.data, message.headers or {}) for message in messages]


async def test_each_of_many_gets_its_own_answer(asker: Bus, echo: Echo, messages: list[Msg]) -> None:
    texts = [f"{('a', 'refuse', 'crash')[number % 3]}{number}" for number in range(MANY)]
    answers = await asyncio.gather(
        *[asker.request(TOGETHER, Question(text=text)) for text in texts], return_exceptions=True
    )
    for text, answer in zip(texts, answers, strict=True):
        if text.startswith("a"):
            assert answer == Answer(text=text)
        else:
            assert isinstance(answer, Relayed)
            wanted = NoSuchWord.code if text.startswith("refuse") else InternalFault.code
            assert answer.refused.code == wanted
    assert sorted(echo.asked) == sorted(texts)
    sizes = [len(group) for group in parts(messages)]
    assert [json.loads(part.body)["text"] for group in parts(messages) for part in group] == texts
    assert max(sizes) <= AT_MOST
    assert len(sizes) < MANY / 4


async def test_each_is_asked_for_its_own_tenant_and_under_its_own_name(asker: Bus, echo: Echo) -> None:
    """Though all are asked at the same time, and some share a message."""
    wanted = {(tenant, f"{tenant}-{number}", f"id-{tenant}-{number}") for tenant in "xyz" for number in range(5)}

    async def ask(tenant: str, text: str, request_id: str) -> Answer:
        with bound(request_id=request_id):
            return await asker.request(TOGETHER, Question(text=text), tenant=tenant)

    answers = await asyncio.gather(*[ask(*one) for one in sorted(wanted)])
    assert [answer.text for answer in answers] == [text for _, text, _ in sorted(wanted)]
    assert echo.saw == wanted


async def test_a_message_that_cannot_be_taken_apart_is_refused(asker: Bus, echo: Echo) -> None:
    reply = await asker._client.request(TOGETHER.subject(), b"abc", headers={HEADER: "1: 1:"}, timeout=5)
    assert (reply.headers or {})[ERROR_CODE_HEADER] == "422"
    assert echo.asked == []


async def test_one_that_is_alone_goes_alone_and_with_its_request_id(asker: Bus, messages: list[Msg]) -> None:
    with bound(request_id="its-own"):
        await asker.request(TOGETHER, Question(text="a"))
    await asker.request(TOGETHER, Question(text="b"))
    await until(lambda: len(messages) == 2)
    assert [[part.word for part in group] for group in parts(messages)] == [["its-own"], [""]]


async def test_one_with_a_patience_of_its_own_shares_no_message(asker: Bus, messages: list[Msg]) -> None:
    await asyncio.gather(*[asker.request(TOGETHER, Question(text="a"), within_s=5) for _ in range(3)])
    await until(lambda: len(messages) == 3)
    assert not any(HEADER in (message.headers or {}) for message in messages)


async def test_nobody_waits_for_the_answer_to_somebody_else(asker: Bus, echo: Echo) -> None:
    echo.open.clear()
    stuck = asyncio.create_task(asker.request(TOGETHER, Question(text="first")))
    await until(lambda: echo.asked == ["first"])
    later = asyncio.create_task(asker.request(TOGETHER, Question(text="second")))
    await until(lambda: echo.asked == ["first", "second"])
    assert not stuck.done()
    echo.open.set()
    assert [(await task).text for task in (stuck, later)] == ["first", "second"]


async def test_one_that_waits_no_more_spoils_no_other(asker: Bus, echo: Echo) -> None:
    echo.open.clear()
    tasks = [asyncio.create_task(asker.request(TOGETHER, Question(text=f"{number}"))) for number in range(3)]
    await until(lambda: len(echo.asked) == 3)
    tasks[1].cancel()
    echo.open.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert (told[0], told[2]) == (Answer(text="0"), Answer(text="2"))
    assert isinstance(told[1], asyncio.CancelledError)


async def test_large_ones_share_no_message(asker: Bus, messages: list[Msg]) -> None:
    large = "x" * (AT_MOST_BYTES * 2 // 3)
    answers = await asyncio.gather(*[asker.request(TOGETHER, Question(text=large)) for _ in range(3)])
    assert [len(answer.text) for answer in answers] == [len(large)] * 3
    assert [len(group) for group in parts(messages)] == [1, 1, 1]


async def test_what_a_message_holds_is_counted_together(asker: Bus, messages: list[Msg]) -> None:
    third = "x" * (AT_MOST_BYTES * 3 // 10)
    answers = await asyncio.gather(*[asker.request(TOGETHER, Question(text=third)) for _ in range(5)])
    assert [len(answer.text) for answer in answers] == [len(third)] * 5
    sizes = [len(group) for group in parts(messages)]
    assert (sum(sizes), max(sizes)) == (5, 3)


async def test_that_nobody_is_there_is_told_to_each(nats: NatsServer) -> None:
    async with connected(nats.url, "asker") as asker:
        asked = [asker.request(TOGETHER, Question(text="a")) for _ in range(3)]
        async with asyncio.timeout(PROMPT_S):
            told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in told] == [Unavailable] * 3
    assert all(isinstance(one, Unavailable) and isinstance(one.__cause__, NoRespondersError) for one in told)


async def test_an_answer_to_fewer_than_asked_is_to_nobody_and_one_that_waits_no_more_spoils_no_refusal(
    nats: NatsServer,
) -> None:
    short, held = replace(TOGETHER, verb="short"), list[Msg]()

    async def hold(message: Msg) -> None:
        held.append(message)

    async with connected(nats.url) as service, connected(nats.url, "asker") as asker:
        await service._client.subscribe(short.pattern, cb=hold)
        await settled(service)
        tasks = [asyncio.create_task(asker.request(short, Question(text="a"))) for _ in range(4)]
        await until(lambda: sum(len(group) for group in parts(held)) == 4)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        for message in held:
            body, headers = pack([Part(b'{"text": "a"}', "")] * (len(unpack(message.data, message.headers or {})) - 1))
            await service._client.publish(message.reply, body, headers=headers)
        async with asyncio.timeout(PROMPT_S):
            told = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert [type(one.__cause__) for one in told[1:] if isinstance(one, Unavailable)] == [ValueError] * 3


async def test_an_answer_that_does_not_come_leaves_each_in_doubt(nats: NatsServer) -> None:
    """Each may have happened: the cause says so, which is what reading back goes by."""
    silent = replace(TOGETHER, verb="silence", timeout_s=0.3)

    async def listen(_: Msg) -> None:
        """Say nothing."""

    async with connected(nats.url) as deaf, connected(nats.url, "asker") as asker:
        await deaf._client.subscribe(silent.pattern, cb=listen)
        await settled(deaf)
        async with asyncio.timeout(5):
            told = await asyncio.gather(
                *[asker.request(silent, Question(text="a")) for _ in range(3)], return_exceptions=True
            )
    assert [type(one) for one in told] == [Unavailable] * 3
    assert all(isinstance(one, Unavailable) and isinstance(one.__cause__, TimeoutError) for one in told)


async def test_a_service_that_does_not_know_of_it_is_unavailable(nats: NatsServer) -> None:
    old = replace(TOGETHER, verb="old")

    async with connected(nats.url) as service, connected(nats.url, "asker") as asker:

        async def answer(message: Msg) -> None:
            await message.respond(b"{}")

        await service._client.subscribe(old.pattern, cb=answer)
        await settled(service)
        with pytest.raises(Unavailable):
            await asker.request(old, Question(text="a"))


ATTACKS = {
    "nothing": "",
    "too few bytes": "1:",
    "too many bytes": "2: 2:",
    "no number": "x:",
    "negative": "-1:",
    "negative that adds up": "4: -1:",
    "sign": "+3:",
    "unicode digits": "\u0663:",
    "superscript": "\u00b3:",
    "underscore": "0_3:",
    "white space": "\t3:",
    "no colon": "3",
    "only colons": ":::",
    "float": "3.0:",
    "leading zeros": "0" * 5_000 + "3:",
    "thousands of digits": "9" * 5_000 + ":",
    "two spaces": "1:  2:",
    "65 parts": " ".join(["3:"] + ["0:"] * 64),
    "100,000 empty parts": " ".join(["0:"] * 100_000),
    "word with a colon": "3:a:b",
    "word with a line": "3:a\nb",
    "word beyond ASCII": "3:\u00e9",
    "long word": "3:" + "a" * 65,
    "very long word": "3:" + "a" * 1_000_000,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_header_of_another_form_is_refused(attack: str) -> None:
    with pytest.raises(ValueError, match=HEADER):
        unpack(b"abc", {HEADER: ATTACKS[attack]})


@pytest.mark.requirement("B-100")
@pytest.mark.parametrize("attack", ["negative", "65 parts", "word with a colon", "100,000 empty parts"])
async def test_such_a_message_reaches_no_handler(asker: Bus, echo: Echo, attack: str) -> None:
    reply = await asker._client.request(TOGETHER.subject(), b"abc", headers={HEADER: ATTACKS[attack]}, timeout=5)
    assert (reply.headers or {})[ERROR_CODE_HEADER] == "422"
    assert echo.asked == []


@pytest.mark.parametrize("header", ["0: 0:", "11:", " ".join(["0:"] * 64), "-1:", "x"])
async def test_a_topic_that_does_not_gather_passes_the_header_over(nats: NatsServer, echo: Echo, header: str) -> None:
    alone = replace(ECHO, verb="alone")
    async with connected(nats.url, serve=lambda bus: bus.serve(alone, echo)), connected(nats.url, "asker") as asker:
        await settled(asker)
        reply = await asker._client.request(alone.subject(), b'{"text":"a"}', headers={HEADER: header}, timeout=5)
    assert Answer.model_validate_json(reply.data) == Answer(text="a")
    assert HEADER not in (reply.headers or {})
    assert echo.asked == ["a"]


@pytest.mark.parametrize("sent", ["a b:c", "a:b", "x" * 65, "\u00e9", "a\tb"])
async def test_a_request_id_that_is_no_plain_word_is_replaced(nats: NatsServer, echo: Echo, sent: str) -> None:
    alone = replace(ECHO, verb="alone")
    async with connected(nats.url, serve=lambda bus: bus.serve(alone, echo)), connected(nats.url, "asker") as asker:
        await settled(asker)
        for request_id in (sent, "its-own"):
            headers = {REQUEST_ID_HEADER: request_id}
            await asker._client.request(alone.subject(), b'{"text":"a"}', headers=headers, timeout=5)
    bound_ids = {request_id for _, _, request_id in echo.saw}
    assert len(bound_ids) == 2
    assert "its-own" in bound_ids
    assert all(is_request_id(request_id) for request_id in bound_ids)


@pytest.mark.requirement("F-72")
@pytest.mark.parametrize("headers", [{"A": "x" * 20_000}, {f"h{number}": "x" for number in range(5_000)}])
async def test_oversized_headers_are_refused_without_parsing(
    nats: NatsServer, echo: Echo, headers: dict[str, str]
) -> None:
    alone = replace(ECHO, verb="alone")
    async with connected(nats.url, serve=lambda bus: bus.serve(alone, echo)), connected(nats.url, "asker") as asker:
        await settled(asker)
        reply = await asker._client.request(alone.subject(), b'{"text":"a"}', headers=headers, timeout=5)
        assert (reply.headers or {})[ERROR_CODE_HEADER] == "422"
        assert await asker.request(alone, Question(text="b")) == Answer(text="b")
    assert echo.asked == ["b"]


async def test_large_request_is_answered_normally(asker: Bus) -> None:
    large = "x" * (INLINE_BYTES * 4)
    assert (await asker.request(TOGETHER, Question(text=large), within_s=5, is_large=True)).text == large


async def test_what_is_decided_before_reading_refuses_unread(nats: NatsServer, echo: Echo) -> None:
    alone = replace(ECHO, verb="admitted")

    async def admit(address: Address) -> None:
        if address.tenant == "x":
            raise NoSuchWord(retry_after_s=7)

    def serve(bus: Bus) -> None:
        bus.serve(alone, echo, admit=admit)

    async with connected(nats.url, serve=serve), connected(nats.url, "asker") as asker:
        await settled(asker)
        refused = await asker._client.request(alone.subject("x"), b"no JSON", timeout=5)
        assert await asker.request(alone, Question(text="a"), tenant="y") == Answer(text="a")
    headers = refused.headers or {}
    assert (headers[ERROR_CODE_HEADER], headers[RETRY_AFTER_HEADER]) == ("404", "7")
    assert echo.asked == ["a"]


def test_what_is_packed_is_unpacked() -> None:
    sent = [Part(b"{}", "one"), Part(b"", ""), Part(b'{"a": 1}', "404")]
    assert unpack(*pack(sent)) == sent
