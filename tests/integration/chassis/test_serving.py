"""How a served topic processes a request around its handler: request ids, headers, admission, size limits."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chassis.ids import is_request_id
from chassis.messaging.bus import Bus
from chassis.messaging.deadlines import DEADLINE_HEADER, has_passed
from chassis.messaging.serving import ERROR_CODE_HEADER, REQUEST_ID_HEADER, RETRY_AFTER_HEADER
from chassis.offload import INLINE_BYTES
from chassis.telemetry.logs import get_log_context, log_context
from contracts.wire.errors import ErrorKind, Refusal, Unavailable
from contracts.wire.topic import Address
from tests.integration.chassis.conftest import ECHO, Answer, Question, connected
from tests.kit.nats import NatsServer
from tests.kit.waiting import until


class NoSuchWord(Refusal):
    """That is not a word."""

    kind, code = ErrorKind.NOT_FOUND, "echo.no_such_word"


class Echo:
    """Returns the text it is sent; records tenant, text and bound request id of every request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []

    async def __call__(self, question: Question, address: Address) -> Answer:
        self.requests.append((address.tenant, question.text, get_log_context().get("request_id", "")))
        return Answer(text=question.text)

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.requests]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def client(nats: NatsServer, echo: Echo) -> AsyncIterator[Bus]:
    async with (
        connected(nats.url, serve=lambda bus: bus.serve(ECHO, echo)),
        connected(nats.url, "asker") as client,
    ):
        yield client


async def test_concurrent_requests_keep_their_own_tenant_and_request_id(client: Bus, echo: Echo) -> None:
    wanted = [(tenant, f"{tenant}-{number}", f"id-{tenant}-{number}") for tenant in "xyz" for number in range(5)]

    async def send(tenant: str, text: str, request_id: str) -> Answer:
        with log_context(request_id=request_id):
            return await client.request(ECHO, Question(text=text), tenant=tenant)

    answers = await asyncio.gather(*[send(*one) for one in wanted])
    assert [answer.text for answer in answers] == [text for _, text, _ in wanted]
    assert sorted(echo.requests) == wanted


@pytest.mark.parametrize("sent", ["a b:c", "a:b", "x" * 65, "\u00e9", "a\tb"])
async def test_malformed_request_id_is_replaced(client: Bus, echo: Echo, sent: str) -> None:
    for request_id in (sent, "its-own"):
        await client._client.request(
            ECHO.subject(), b'{"text":"a"}', headers={REQUEST_ID_HEADER: request_id}, timeout=5
        )
    (_, _, replaced), (_, _, kept) = echo.requests
    assert is_request_id(replaced)
    assert replaced != sent
    assert kept == "its-own"


@pytest.mark.requirement("F-72", "B-100")
@pytest.mark.parametrize("headers", [{"A": "x" * 20_000}, {f"h{number}": "x" for number in range(5_000)}])
async def test_message_with_oversized_headers_is_refused(client: Bus, echo: Echo, headers: dict[str, str]) -> None:
    reply = await client._client.request(ECHO.subject(), b'{"text":"a"}', headers=headers, timeout=5)
    assert (reply.headers or {})[ERROR_CODE_HEADER] == "422"
    assert await client.request(ECHO, Question(text="b")) == Answer(text="b")
    assert echo.texts == ["b"]


async def test_large_request_is_answered(client: Bus) -> None:
    large = "x" * (INLINE_BYTES * 4)
    assert (await client.request(ECHO, Question(text=large), is_large=True)).text == large


async def test_admission_refuses_a_message_before_its_payload_is_read(nats: NatsServer, echo: Echo) -> None:
    topic = replace(ECHO, verb="admitted")

    async def admit(address: Address) -> None:
        if address.tenant == "x":
            raise NoSuchWord(retry_after_s=7)

    def serve(bus: Bus) -> None:
        bus.serve(topic, echo, check_request=admit)

    async with connected(nats.url, serve=serve), connected(nats.url, "asker") as client:
        refused = await client._client.request(topic.subject("x"), b"no JSON", timeout=5)
        assert await client.request(topic, Question(text="a"), tenant="y") == Answer(text="a")
    headers = refused.headers or {}
    assert (headers[ERROR_CODE_HEADER], headers[RETRY_AFTER_HEADER]) == ("404", "7")
    assert echo.texts == ["a"]


async def knows_the_time(bus: Bus) -> bool:
    """Return whether a bus has measured the server's clock. Each measurement times out after a second."""
    if not bus._clock.is_known:
        await bus._clock.measure_clock_offset(bus._client)
    return bus._clock.is_known


@pytest.mark.requirement("O-11")
async def test_request_is_not_executed_after_its_deadline(nats: NatsServer, echo: Echo) -> None:
    topic = replace(ECHO, verb="delayed")
    may_admit, deadlines = asyncio.Event(), list[float | None]()

    async def admit(address: Address) -> None:
        deadlines.append(address.deadline)
        await may_admit.wait()

    def serve(bus: Bus) -> None:
        bus.serve(ECHO, echo)
        bus.serve(topic, echo, check_request=admit)

    async with connected(nats.url, serve=serve) as served, connected(nats.url, "asker") as client:

        async def send(deadline: str) -> str | None:
            headers = {DEADLINE_HEADER: deadline}
            reply = await client._client.request(ECHO.subject(), b'{"text":"a"}', headers=headers, timeout=5)
            return (reply.headers or {}).get(ERROR_CODE_HEADER)

        await until(lambda: knows_the_time(client))
        await until(lambda: knows_the_time(served))
        now = int(client._clock.build_deadline_header(0)[DEADLINE_HEADER])
        assert await send(str(now - 60_000)) == "503"
        assert await send(str(now + 60_000)) is None
        assert [await send(malformed) for malformed in ("soon", "-1", "1.5", "9" * 16)] == ["422"] * 4
        assert echo.texts == ["a"]
        assert served.expired_requests == {ECHO.name: 1}

        late = 0
        async with asyncio.timeout(60):
            while not deadlines:  # on a loaded machine, a deadline may pass before the admission begins
                late += 1
                with pytest.raises(Unavailable):  # its deadline passes while its admission is decided
                    await client.request(topic, Question(text="late"), within_s=0.1 * late)
        await until(lambda: all(map(has_passed, deadlines)))
        may_admit.set()
        assert await client.request(topic, Question(text="in time")) == Answer(text="in time")
        assert echo.texts == ["a", "in time"]
        assert served.expired_requests == {ECHO.name: 1, topic.name: late}


async def test_requests_have_no_deadline_where_the_login_cannot_read_the_servers_time(echo: Echo) -> None:
    permissions = 'permissions: { publish: { deny: "$SYS.>" } }'
    server = NatsServer(f"authorization {{ users: [ {{ user: u, password: p, {permissions} }} ] }}")
    try:
        await server.start()
        url = server.url.replace("//", "//u:p@")
        async with connected(url, serve=lambda bus: bus.serve(ECHO, echo)) as served, connected(url, "asker") as client:
            assert client._clock.build_deadline_header(1) == {}
            past = {DEADLINE_HEADER: "1"}
            await client._client.request(ECHO.subject(), b'{"text":"a"}', headers=past, timeout=5)
            assert await client.request(ECHO, Question(text="b")) == Answer(text="b")
        assert (echo.texts, served.expired_requests) == (["a", "b"], {})
    finally:
        server.remove()
