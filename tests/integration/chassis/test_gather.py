"""Requests that share a message: each has its own answer, whatever becomes of the others."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from chassis.bus import Bus
from chassis.gather import AT_MOST, AT_MOST_BYTES, HEADER, Part, pack, unpack
from chassis.logs import bound, bound_here
from chassis.served import ERROR_CODE_HEADER
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
        await watcher.hear(TOGETHER.pattern, see)
        await settled(watcher)
        yield seen


async def settled(bus: Bus) -> None:
    """A round trip, behind which the server knows every subscription. (nats-py's flush overtakes them.)"""
    with pytest.raises(Unavailable):
        await bus.ask(replace(ECHO, verb="nobody"), Question(text="a"))


def parts(messages: list[Msg]) -> list[list[Part]]:
    return [unpack(message.data, message.headers or {}) for message in messages]


async def test_each_of_many_gets_its_own_answer(asker: Bus, echo: Echo, messages: list[Msg]) -> None:
    texts = [f"{('a', 'refuse', 'crash')[number % 3]}{number}" for number in range(MANY)]
    answers = await asyncio.gather(
        *[asker.ask(TOGETHER, Question(text=text)) for text in texts], return_exceptions=True
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
            return await asker.ask(TOGETHER, Question(text=text), tenant=tenant)

    answers = await asyncio.gather(*[ask(*one) for one in sorted(wanted)])
    assert [answer.text for answer in answers] == [text for _, text, _ in sorted(wanted)]
    assert echo.saw == wanted


async def test_a_message_that_cannot_be_taken_apart_is_refused(asker: Bus, echo: Echo) -> None:
    reply = await asker._client.request(TOGETHER.subject(), b"abc", headers={HEADER: "1: 1:"}, timeout=5)
    assert (reply.headers or {})[ERROR_CODE_HEADER] == "422"
    assert echo.asked == []


async def test_one_that_is_alone_goes_alone_and_with_its_request_id(asker: Bus, messages: list[Msg]) -> None:
    with bound(request_id="its-own"):
        await asker.ask(TOGETHER, Question(text="a"))
    await asker.ask(TOGETHER, Question(text="b"))
    await until(lambda: len(messages) == 2)
    assert [[part.word for part in group] for group in parts(messages)] == [["its-own"], [""]]


async def test_one_with_a_patience_of_its_own_shares_no_message(asker: Bus, messages: list[Msg]) -> None:
    await asyncio.gather(*[asker.ask(TOGETHER, Question(text="a"), within_s=5) for _ in range(3)])
    await until(lambda: len(messages) == 3)
    assert not any(HEADER in (message.headers or {}) for message in messages)


async def test_nobody_waits_for_the_answer_to_somebody_else(asker: Bus, echo: Echo) -> None:
    echo.open.clear()
    stuck = asyncio.create_task(asker.ask(TOGETHER, Question(text="first")))
    await until(lambda: echo.asked == ["first"])
    later = asyncio.create_task(asker.ask(TOGETHER, Question(text="second")))
    await until(lambda: echo.asked == ["first", "second"])
    assert not stuck.done()
    echo.open.set()
    assert [(await task).text for task in (stuck, later)] == ["first", "second"]


async def test_one_that_waits_no_more_spoils_no_other(asker: Bus, echo: Echo) -> None:
    echo.open.clear()
    tasks = [asyncio.create_task(asker.ask(TOGETHER, Question(text=f"{number}"))) for number in range(3)]
    await until(lambda: len(echo.asked) == 3)
    tasks[1].cancel()
    echo.open.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert (told[0], told[2]) == (Answer(text="0"), Answer(text="2"))
    assert isinstance(told[1], asyncio.CancelledError)


async def test_large_ones_share_no_message(asker: Bus, messages: list[Msg]) -> None:
    large = "x" * (AT_MOST_BYTES * 2 // 3)
    answers = await asyncio.gather(*[asker.ask(TOGETHER, Question(text=large)) for _ in range(3)])
    assert [len(answer.text) for answer in answers] == [len(large)] * 3
    assert [len(group) for group in parts(messages)] == [1, 1, 1]


async def test_what_a_message_holds_is_counted_together(asker: Bus, messages: list[Msg]) -> None:
    third = "x" * (AT_MOST_BYTES * 3 // 10)
    answers = await asyncio.gather(*[asker.ask(TOGETHER, Question(text=third)) for _ in range(5)])
    assert [len(answer.text) for answer in answers] == [len(third)] * 5
    sizes = [len(group) for group in parts(messages)]
    assert (sum(sizes), max(sizes)) == (5, 3)


async def test_that_nobody_is_there_is_told_to_each(nats: NatsServer) -> None:
    async with connected(nats.url, "asker") as asker:
        asked = [asker.ask(TOGETHER, Question(text="a")) for _ in range(3)]
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
        await service.hear(short.pattern, hold)
        await settled(service)
        tasks = [asyncio.create_task(asker.ask(short, Question(text="a"))) for _ in range(4)]
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
        await deaf.hear(silent.pattern, listen)
        await settled(deaf)
        async with asyncio.timeout(5):
            told = await asyncio.gather(
                *[asker.ask(silent, Question(text="a")) for _ in range(3)], return_exceptions=True
            )
    assert [type(one) for one in told] == [Unavailable] * 3
    assert all(isinstance(one, Unavailable) and isinstance(one.__cause__, TimeoutError) for one in told)


async def test_a_service_that_does_not_know_of_it_is_unavailable(nats: NatsServer) -> None:
    old = replace(TOGETHER, verb="old")

    async with connected(nats.url) as service, connected(nats.url, "asker") as asker:

        async def answer(message: Msg) -> None:
            await message.respond(b"{}")

        await service.hear(old.pattern, answer)
        await settled(service)
        with pytest.raises(Unavailable):
            await asker.ask(old, Question(text="a"))


@pytest.mark.parametrize("header", ["", "1:", "2: 2:", "x:", "-1:"])
def test_a_message_whose_lengths_do_not_fit_is_none(header: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|invalid"):
        unpack(b"abc", {HEADER: header})


def test_what_is_packed_is_unpacked() -> None:
    sent = [Part(b"{}", "one"), Part(b"", ""), Part(b'{"a": 1}', "404")]
    assert unpack(*pack(sent)) == sent
