"""Malformed and unusual HTTP requests, sent byte by byte over raw sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chassis.http.connection import ConnectionLimits
from tests.integration.gateway.conftest import settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.serving import PATIENT, serving

KEY = b"X-API-Key: alice-key\r\n"
JSON = b"Content-Type: application/json\r\n"
SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
IMPATIENT = ConnectionLimits(head_s=0.5, body_idle_s=0.5, body_grace_s=0.5, slow_body_paths=(b"/internal/",))

ANSWER_S = 30


@dataclass
class Answer:
    """One HTTP response, as received on the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


@asynccontextmanager
async def gateway_with(limits: ConnectionLimits, nats_url: str, database_url: str, folder: Path) -> AsyncIterator[str]:
    settings = settings_for(
        nats_url,
        database_url,
        folder,
        rate_limit_enabled=False,
        docs_public=False,
        cors_origins="https://app.example",
    )
    async with serving(create_app_with_long_timeouts(settings), limits) as at:
        async with client_with_long_timeout(at) as http:
            await until_ready(http)
        yield at


@pytest.fixture(scope="module")
async def other_services(nats_server: NatsServer) -> AsyncIterator[Script]:
    script = Script(nats_server.url)
    await script.start()
    yield script
    await script.stop()


@pytest.fixture(scope="module")
async def edge(
    nats_server: NatsServer,
    database_url: str,
    other_services: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    async with gateway_with(PATIENT, nats_server.url, database_url, tmp_path_factory.mktemp("edge")) as at:
        yield at


@pytest.fixture(scope="module")
async def impatient_edge(
    nats_server: NatsServer,
    database_url: str,
    other_services: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    """A gateway with connection timeouts so short that a pause of the test process may exceed them."""
    async with gateway_with(IMPATIENT, nats_server.url, database_url, tmp_path_factory.mktemp("impatient")) as at:
        yield at


async def exchange(at: str, sent: bytes, *, finish: bool = False) -> Answer | None:
    """Send bytes and return the first response, or None if the connection is closed without one."""
    host, port = at.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        if finish:
            writer.write_eof()
        return await asyncio.wait_for(read_answer(reader), ANSWER_S)
    except ConnectionError:
        return None
    finally:
        writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer | None:
    try:
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    except asyncio.IncompleteReadError:
        return None
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    size = 0 if head else int(headers.get("content-length", 0))
    return Answer(int(start.split()[1]), headers, await reader.readexactly(size))


def check(answer: Answer | None, statuses: set[int]) -> Answer:
    assert answer is not None, "no answer"
    assert answer.status in statuses, (answer.status, answer.body)
    kept = {"cache-control": "private, no-cache"} if "etag" in answer.headers else {}
    assert {name: answer.headers.get(name) for name in SAFE} == SAFE | kept
    assert "server" not in answer.headers
    assert answer.headers["date"]
    if answer.status >= 400 and answer.body:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.problem["status"] == answer.status
        assert answer.problem["request_id"] == answer.headers["x-request-id"]
        assert {"type", "title", "detail", "code"} <= answer.problem.keys()
    return answer


async def still_serves(at: str) -> None:
    check(await exchange(at, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), {200})


def get(target: bytes, more: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n" + KEY + more + b"\r\n"


def post(body: bytes, more: bytes = JSON, target: bytes = b"/api/v1/jobs") -> bytes:
    return get(target, more + b"Content-Length: %d\r\n" % len(body), b"POST") + body


METHODS = [
    (target, method)
    for target in (b"/api/v1/jobs", b"/api/v1/jobs/x", b"/api/v1/models", b"/healthz", b"/api/v1/jobs/x/cancel")
    for method in (b"PUT", b"PATCH", b"TRACE", b"OPTIONS", b"PROPFIND", b"LOCK", b"MKCOL", b"SEARCH")
]


@pytest.mark.requirement("B-3")
@pytest.mark.parametrize(("target", "method"), METHODS)
async def test_unsupported_method_is_405_with_allow_header(edge: str, target: bytes, method: bytes) -> None:
    answer = check(await exchange(edge, get(target, method=method)), {405})
    allowed = set(answer.headers["allow"].split(", "))
    assert method.decode() not in allowed
    assert (
        allowed
        == {
            b"/api/v1/jobs": {"GET", "POST"},
            b"/api/v1/jobs/x": {"GET", "DELETE"},
            b"/api/v1/models": {"GET"},
            b"/healthz": {"GET"},
            b"/api/v1/jobs/x/cancel": {"POST"},
        }[target]
    )


@pytest.mark.requirement("B-3")
async def test_method_override_header_is_ignored(edge: str) -> None:
    check(await exchange(edge, get(b"/api/v1/models", b"X-HTTP-Method-Override: DELETE\r\n")), {200})


@pytest.mark.requirement("B-4", "S-58")
@pytest.mark.parametrize(
    "target",
    [
        b"/nowhere",
        b"/api/v1/jobs/",
        b"//api/v1/jobs",
        b"/api//v1/jobs",
        b"/api/v1/%2e%2e/jobs",
        b"/api/v1/../v1/jobs",
        b"/api/v1/jobs%00",
        b"/api/v1/jobs;jsessionid=1",
        b"/api/v1/jobs/%c0%af",
        b"/api/v1/jobs/%ff",
        b"/api/v1/jobs/" + b"a" * 3000,
        b"/api/v1/jobs\\x",
        b"/api/v1%2fjobs",
        b"/api/v1/jobs%0d%0aX:1",
        b"/%",
        b"/api/v1/%6aobs",
        b"/redoc",
        b"/docs",
        b"/openapi.json",
        b"/metrics",
        b"/debug/pprof",
        b"/.git/config",
        b"/docs/",
        b"/api/v1/jobs/..",
        b"/healthz/",
        b"/API/v1/jobs",
        b"/api/v2/jobs",
        b"/.env",
        b"/api/v1/jobs%20",
    ],
)
async def test_unknown_and_encoded_paths_are_404(edge: str, target: bytes) -> None:
    check(await exchange(edge, get(target)), {404})


@pytest.mark.requirement("B-4", "S-50")
@pytest.mark.parametrize("size", [4097, 8192, 15_000, 100_000])
async def test_long_request_target_is_414(edge: str, size: int) -> None:
    check(await exchange(edge, get(b"/" + b"a" * size)), {414})
    await still_serves(edge)


@pytest.mark.requirement("B-5")
@pytest.mark.parametrize(
    "more",
    [
        b"",
        *(
            b"Content-Type: " + kind + b"\r\n"
            for kind in (
                b"",
                b"text/plain",
                b"application/xml",
                b"application/json; charset=utf-7",
                b"text/json",
                b"application/json; charset=utf-16",
                b"application/vnd.api+json",
                b"application/json, text/plain",
                b"multipart/form-data; boundary=x",
                b"application/x-www-form-urlencoded",
                b"application/json; a=b",
                b"application/jsonp",
                b"*/*",
                b"application/json; charset=latin-1",
                b"json",
                b"\xff",
            )
        ),
        JSON + JSON,
        JSON + b"Content-Type: text/plain\r\n",
    ],
)
async def test_unsupported_media_type_is_415(edge: str, more: bytes) -> None:
    check(await exchange(edge, post(b'{"prompt": "a"}', more)), {415})


@pytest.mark.requirement("B-5")
@pytest.mark.parametrize(
    "kind", [b"Application/JSON", b"application/json;charset=UTF-8", b'application/json; charset="utf-8"']
)
async def test_json_media_type_is_accepted_with_any_case_and_utf8_charset(edge: str, kind: bytes) -> None:
    check(await exchange(edge, post(b"{}", b"Content-Type: " + kind + b"\r\n")), {422})


FRAMINGS = [
    b"Content-Length: -1\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Content-Length: a\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked,\r\n",
]


@pytest.mark.requirement("B-6")
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_ambiguous_message_framing_is_refused_and_the_connection_closed(edge: str, framing: bytes) -> None:
    smuggled = get(b"/api/v1/models", method=b"DELETE")
    host, port = edge.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(get(b"/api/v1/jobs", JSON + framing, b"POST") + b"0\r\n\r\n" + smuggled)
    answer = check(await asyncio.wait_for(read_answer(reader), ANSWER_S), {400})
    assert answer.headers["connection"] == "close"
    assert await reader.read() == b""
    writer.close()
    await still_serves(edge)


CHUNKS = [
    b"5\r\nhelloX",
    b"zz\r\n",
    b"-5\r\nhello\r\n",
    b"5\nhello\n0\n\n",
    b"5;" + b"a" * 600_000,
    b"0\r\nX-API-Key: x\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"5 \r\nhello\r\n",
    b"\r\n5\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
]


@pytest.mark.requirement("B-6")
@pytest.mark.parametrize("chunks", CHUNKS)
async def test_malformed_chunks_are_refused(edge: str, chunks: bytes) -> None:
    check(await exchange(edge, get(b"/api/v1/jobs", JSON + b"Transfer-Encoding: chunked\r\n", b"POST") + chunks), {400})
    await still_serves(edge)


@pytest.mark.requirement("B-6")
@pytest.mark.parametrize("size", [8 << 20 | 1, 10 << 30])
async def test_declared_oversized_body_is_413_before_it_is_sent(edge: str, size: int) -> None:
    check(await exchange(edge, get(b"/api/v1/jobs", JSON + b"Content-Length: %d\r\n" % size, b"POST")), {413})


@pytest.mark.requirement("B-6")
async def test_chunked_body_is_accepted(edge: str) -> None:
    check(
        await exchange(
            edge, get(b"/api/v1/jobs", JSON + b"Transfer-Encoding: chunked\r\n", b"POST") + b"2\r\n{}\r\n0\r\n\r\n"
        ),
        {422},
    )


@pytest.mark.requirement("B-7")
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, identity", b"x"])
async def test_content_encoding_is_415(edge: str, coding: bytes) -> None:
    check(await exchange(edge, post(b"\x1f\x8b", JSON + b"Content-Encoding: " + coding + b"\r\n")), {415})


@pytest.mark.requirement("B-8", "S-50")
@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"".join(b"X-%d: 1\r\n" % n for n in range(200)), 431),
        (b"X: " + b"a" * 65_536 + b"\r\n", 431),
        (b"X: " + b"a" * 17_000 + b"\r\n", 431),
        (b"x" * 17_000 + b": a\r\n", 431),
        (b"X: a\rb\r\n", 400),
        (b"X: a\nb\r\n", 400),
        (b"X: a\x00b\r\n", 400),
        (b"X : a\r\n", 400),
        (b" X: a\r\n", 400),
        (b"X\r\n", 400),
        (b"X: a\r\n folded\r\n", 400),
        (b"Host: b\r\n", 400),
        (b": a\r\n", 400),
        (b"X\x80: a\r\n", 400),
        (b"X: \x01\r\n", 400),
    ],
)
async def test_too_many_large_or_malformed_headers_are_refused(edge: str, more: bytes, status: int) -> None:
    check(await exchange(edge, get(b"/api/v1/models", more)), {status})
    await still_serves(edge)


@pytest.mark.requirement("B-8")
@pytest.mark.parametrize(
    "more",
    [b"X-User-Id: 1\r\n", b"X-Forwarded-For: 1.1.1.1\r\n", b"X-Forwarded-Host: evil\r\n", b"Forwarded: for=x\r\n"],
)
async def test_spoofed_proxy_headers_are_ignored(edge: str, more: bytes) -> None:
    check(await exchange(edge, get(b"/api/v1/models", more)), {200})


@pytest.mark.requirement("B-8")
@pytest.mark.parametrize("host", [b"evil.example", b"[", b"a/b?", b"", b"\xff", b"a b", b"//x", b"x" * 4000])
async def test_host_header_is_never_echoed(edge: str, host: bytes) -> None:
    answer = check(await exchange(edge, b"GET /nowhere HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"), {400, 404})
    assert "evil" not in answer.body.decode()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


MALFORMED = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nul",
    b"{} {}",
    b"{}x",
    b"[1,]",
    b"{a: 1}",
    b"{'a': 1}",
    b"// a\n{}",
    b"/* a */{}",
    "{}".encode("utf-16"),
    "{}".encode("utf-32"),
    b"\xff",
    b'"\xc0\xaf"',
    b'{"a": 1,}',
    b"[1 2]",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b'"\n"',
    b'"\\x41"',
    b'"\\u12"',
    b'"',
    b"True",
    b"undefined",
    b'{"a" 1}',
    b"<a/>",
    b"a=b",
    nested(33),
    nested(300),
    nested(975),
    nested(100_000),
    b'{"a":' * 33 + b"1" + b"}" * 33,
    b"[" * 100_000,
    b"[" + b"1," * 1_000_000 + b"1]",
    b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}",
    b'{"' + b"k" * (1 << 20) + b'": 1}',
    b'{"' + b"k" * 1025 + b'": 1}',
    b"1" * 5000,
    b'{"prompt": "a", "seed": %b}' % (b"1" * 4000),
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b'{"prompt": NaN}',
    b'"\\u0000"',
    b'{"\\u0000": 1}',
    b'"\\ud800"',
    b'"\\udfff"',
    b'{"\\ud800": 1}',
    b'"\\udc00\\ud800"',
    b'{"a": 1, "a": 2}',
    b'{"b": {"a": 1, "\\u0061": 2}}',
]


@pytest.mark.requirement("B-9", "B-10", "B-11", "B-12")
@pytest.mark.parametrize("body", MALFORMED, ids=[f"{n}-{body[:12].hex()}" for n, body in enumerate(MALFORMED)])
async def test_invalid_json_is_400(edge: str, body: bytes) -> None:
    answer = check(await exchange(edge, post(body)), {400})
    assert answer.problem["code"] == "request.malformed"
    assert len(answer.body) < 1000


@pytest.mark.requirement("B-10")
async def test_string_of_10_mib_is_413(edge: str) -> None:
    check(await exchange(edge, post(b'"' + b"x" * (10 << 20) + b'"')), {413})


WRONG = [b"null", b"true", b"7", b'"x"', b"[]", b"{}", b"[{}]"]
FIELDS = [b"prompt", b"steps", b"width", b"seed", b"labels", b"workflow"]
CONFUSED = [
    *WRONG,
    *(
        b'{"prompt": "a", "%b": %b}' % (field, value)
        for field in FIELDS[1:]
        for value in (b"true", b'"1"', b"[]", b"1.5")
    ),
    *(b'{"prompt": %b}' % value for value in (b"null", b"true", b"7", b"[]", b"{}", b'""')),
    *(b'{"prompt": "a", "seed": %b}' % value for value in (b"18446744073709551616", b"1e3", b"1" * 300)),
]


@pytest.mark.requirement("B-11", "B-13")
@pytest.mark.parametrize("body", CONFUSED)
async def test_wrong_type_is_422_and_not_echoed(edge: str, body: bytes) -> None:
    check(await exchange(edge, post(body)), {422})


@pytest.mark.requirement("B-14")
@pytest.mark.parametrize(
    "field",
    [
        "id",
        "tenant_id",
        "user_id",
        "role",
        "state",
        "price",
        "attempt",
        "created_at",
        "__proto__",
        "constructor",
        "is_admin",
    ],
)
async def test_server_owned_field_is_422(edge: str, field: str) -> None:
    body = json.dumps({"prompt": "a", field: "SECRET"}).encode()
    answer = check(await exchange(edge, post(body)), {422})
    assert b"SECRET" not in answer.body


@pytest.mark.requirement("B-17", "B-18")
@pytest.mark.parametrize(
    "query",
    [
        b"limit=1&limit=2",
        b"limit=1&%6cimit=2",
        b"&".join(b"p%d=1" % n for n in range(51)),
        b"a=%00",
        b"a=%0d%0ab",
        b"a=%ff",
        b"%ff=a",
        b"a=1&a=1",
        b"%00=1",
        b"cursor=a&cursor=b",
        b"&".join([b"a=1"] * 1000),
        b"limit=0",
        b"limit=-1",
        b"limit=101",
        b"limit=1e20",
        b"limit=abc",
        b"limit=1.5",
        b"status=SECRET",
        b"cursor=garbage",
        b"label=x",
    ],
)
async def test_invalid_query_is_422_and_names_the_parameter(edge: str, query: bytes) -> None:
    answer = check(await exchange(edge, get(b"/api/v1/jobs?" + query)), {422})
    assert b"SECRET" not in answer.body


@pytest.mark.requirement("B-20")
@pytest.mark.parametrize("accept", [b"image/*", b"text/html", b"nonsense", b"*/*;q=0"])
async def test_accept_header_is_ignored(edge: str, accept: bytes) -> None:
    check(await exchange(edge, get(b"/api/v1/models", b"Accept: " + accept + b"\r\n")), {200})


SLOW = [
    b"",
    b"\r\n",
    b"G",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
    get(b"/api/v1/jobs", JSON + b"Content-Length: 9\r\n", b"POST"),
    get(b"/api/v1/jobs", JSON + b"Content-Length: 9\r\n", b"POST") + b"{",
    get(b"/api/v1/jobs", JSON + b"Transfer-Encoding: chunked\r\n", b"POST") + b"5\r\n{",
]


@pytest.mark.requirement("B-22")
@pytest.mark.parametrize("sent", SLOW)
async def test_slow_client_gets_408_and_is_disconnected(impatient_edge: str, sent: bytes) -> None:
    answer = check(await exchange(impatient_edge, sent), {408})
    assert answer.headers["connection"] == "close"


@pytest.mark.requirement("B-22")
async def test_connection_of_a_body_below_the_minimum_rate_is_closed(impatient_edge: str) -> None:
    host, port = impatient_edge.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(get(b"/api/v1/jobs", JSON + b"Content-Length: 100000\r\n", b"POST"))

    async def drip() -> None:
        while not writer.transport.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    check(await asyncio.wait_for(read_answer(reader), ANSWER_S), {408})
    dripping.cancel()
    writer.transport.abort()


@pytest.mark.requirement("B-24")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /api/v1/jobs HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"\x00" * 100, 400),
    ],
)
async def test_unusual_http_versions_and_targets_are_handled(edge: str, sent: bytes, status: int) -> None:
    check(await exchange(edge, sent), {status})
    await still_serves(edge)


@pytest.mark.requirement("S-56")
@pytest.mark.parametrize("sent", ["abc-123", "A" * 64, "7"])
async def test_valid_request_id_of_the_client_is_kept(edge: str, sent: str) -> None:
    answer = check(await exchange(edge, get(b"/nowhere", b"X-Request-Id: " + sent.encode() + b"\r\n")), {404})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.requirement("S-56")
@pytest.mark.parametrize("sent", ["", "A" * 65, "a b", "a/b", '"', "é"])
async def test_invalid_request_id_is_replaced(edge: str, sent: str) -> None:
    answer = check(await exchange(edge, get(b"/nowhere", b"X-Request-Id: " + sent.encode() + b"\r\n")), {404})
    assert answer.headers["x-request-id"] != sent


@pytest.mark.requirement("S-51")
async def test_hsts_is_sent_when_the_public_url_is_https(edge: str) -> None:
    answer = check(await exchange(edge, get(b"/healthz")), {200})
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.requirement("S-52")
@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "null", "https://x.app.example"])
async def test_unlisted_origin_gets_no_cors_headers(edge: str, origin: str) -> None:
    answer = check(await exchange(edge, get(b"/healthz", b"Origin: " + origin.encode() + b"\r\n")), {200})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.requirement("S-52")
async def test_listed_origin_gets_cors_headers_without_credentials(edge: str) -> None:
    answer = check(await exchange(edge, get(b"/healthz", b"Origin: https://app.example\r\n")), {200})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.requirement("S-55")
@pytest.mark.parametrize("wrong", [b"Origin: https://evil.example", b"Origin: https://app.example"])
async def test_refused_preflight_is_a_problem_document(edge: str, wrong: bytes) -> None:
    more = wrong + b"\r\nAccess-Control-Request-Method: " + (b"GET" if b"evil" in wrong else b"TRACE") + b"\r\n"
    answer = check(await exchange(edge, get(b"/api/v1/jobs", more, method=b"OPTIONS")), {400})
    assert answer.problem["code"] == "http.bad_request"
    assert "evil" not in answer.headers.get("access-control-allow-origin", "")
