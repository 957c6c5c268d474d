"""A topic that answers all requests of a message at once: each has its own answer all the same."""

from collections.abc import AsyncIterator, Sequence

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from chassis.messaging.bus import Bus
from chassis.messaging.gather import Part, pack, unpack
from chassis.messaging.serving import Request
from contracts.wire.errors import InternalFault, Relayed
from contracts.wire.topic import Address
from tests.integration.chassis.conftest import Answer, Question, connected
from tests.integration.chassis.test_gather import TOGETHER, NoSuchWord, settled
from tests.kit.nats import NatsServer


class Clerk:
    """Answers each request by what it says; what is ``away`` is so once, what is ``gone`` always."""

    def __init__(self) -> None:
        self.messages: list[list[tuple[str, str, str]]] = []  # tenant, text, request id
        self.fault: Exception | None = None

    async def __call__(self, requests: Sequence[Request], address: Address) -> Sequence[BaseModel | Exception]:
        self.messages.append([(address.tenant, one.payload.text, one.request_id) for one in requests])
        if self.fault is not None:
            raise self.fault
        if any(one.payload.text == "spoil" for one in requests):
            raise ZeroDivisionError
        told = [self._answer(one.payload.text) for one in requests]
        return told[1:] if any(one.payload.text == "short" for one in requests) else told

    def _answer(self, text: str) -> BaseModel | Exception:
        faults = {"refuse": NoSuchWord(), "crash": ZeroDivisionError(), "gone": ConnectionError()}
        if text == "away" and len(self.messages) == 1:
            return ConnectionError()
        return faults.get(text) or Answer(text=text)


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture
async def asker(nats: NatsServer, clerk: Clerk) -> AsyncIterator[Bus]:
    async with (
        connected(nats.url, serve=lambda bus: bus.serve_together(TOGETHER, clerk)),
        connected(nats.url, "asker") as asker,
    ):
        await settled(asker)
        yield asker


async def ask(bus: Bus, *parts: Part) -> list[Part]:
    """What one message is answered."""
    body, headers = pack(parts)
    reply = await bus._client.request(TOGETHER.subject("x"), body, headers=headers, timeout=5)
    return unpack(reply.data, reply.headers or {})


def question(text: str) -> Part:
    return Part(Question(text=text).model_dump_json().encode(), f"id-{text}")


async def test_each_of_a_message_gets_its_own_answer(asker: Bus, clerk: Clerk) -> None:
    texts = ["a", "refuse", "crash", "away", "gone", "b"]
    parts = [question(text) for text in texts]
    with capture_logs() as logs:
        answers = await ask(asker, *parts[:2], Part(b'{"text": 5}', "id-odd"), *parts[2:])
    assert [part.word for part in answers] == ["", "404", "422", "500", "", "503", ""]
    told = [Answer.model_validate_json(answers[place].body).text for place in (0, 4, 6)]
    assert told == ["a", "away", "b"]
    first = [("x", text, f"id-{text}") for text in texts]
    assert clerk.messages == [first, first[3:5]]  # asked again are those for whom the database was away
    assert [line["topic"] for line in logs if line["event"] == "bus.handler_crashed"] == [TOGETHER.name]


@pytest.mark.parametrize(("fault", "times"), [(ZeroDivisionError(), 3), (ConnectionError(), 2), (NoSuchWord(), 1)])
async def test_what_is_raised_is_raised_for_each(asker: Bus, clerk: Clerk, fault: Exception, times: int) -> None:
    clerk.fault = fault
    answers = await ask(asker, question("a"), question("b"))
    word = {ZeroDivisionError: "500", ConnectionError: "503", NoSuchWord: "404"}[type(fault)]
    assert [part.word for part in answers] == [word] * 2
    assert len(clerk.messages) == times  # a bug may be one's alone: each is tried without the others
    clerk.fault = None
    assert await asker.request(TOGETHER, Question(text="c")) == Answer(text="c")


@pytest.mark.parametrize("bad", ["spoil", "short"])
async def test_what_one_spoils_is_its_own(asker: Bus, clerk: Clerk, bad: str) -> None:
    answers = await ask(asker, question("a"), question(bad), question("b"))
    assert [part.word for part in answers] == ["", "500", ""]
    assert [len(message) for message in clerk.messages] == [3, 1, 1, 1]


async def test_nothing_that_can_be_read_asks_nobody(asker: Bus, clerk: Clerk) -> None:
    assert [part.word for part in await ask(asker, Part(b"", ""), Part(b"[]", ""))] == ["422", "422"]
    assert clerk.messages == []


async def test_one_alone_is_answered_without_the_header(asker: Bus, clerk: Clerk) -> None:
    assert await asker.request(TOGETHER, Question(text="a"), within_s=5) == Answer(text="a")
    with pytest.raises(Relayed) as refused:
        await asker.request(TOGETHER, Question(text="refuse"), within_s=5)
    assert refused.value.refused.code == NoSuchWord.code
    with pytest.raises(Relayed) as crashed:
        await asker.request(TOGETHER, Question(text="crash"), within_s=5)
    assert crashed.value.refused.code == InternalFault.code
    assert len(clerk.messages) == 3
