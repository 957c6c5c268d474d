"""Connections to NATS over TLS with a private CA, and credentials with special characters."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chassis.messaging.bus import NO_TLS_FILES, Bus, TlsNotOffered
from chassis.messaging.servers import TlsFiles
from tests.integration.chassis.conftest import ECHO, Answer, Question
from tests.kit.certificates import CertificateAuthority
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

PASSWORD = 'p@ss:w/o#r%d "\\$&+é'
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # sockets of nats-py's refused attempts
LOGIN = 'authorization { user: "us:er", password: "p@ss:w/o#r%d \\"\\\\$&+é" }'


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@asynccontextmanager
async def running(config: str) -> AsyncIterator[NatsServer]:
    server = NatsServer(config)
    try:
        await server.start()
        yield server
    finally:
        server.remove()
        gc.collect()  # nats-py leaves the socket of a refused attempt to the garbage collector


def bus_to(url: str, tls: TlsFiles = NO_TLS_FILES, *, user: str | None = None, password: str | None = None) -> Bus:
    bus = Bus(url, name="echo", user=user, password=password, inbox_prefix="_INBOX_echo", tls=tls)

    async def echo(question: Question, _: object) -> Answer:
        return Answer(text=question.text)

    bus.serve(ECHO, echo)
    return bus


async def answers(bus: Bus) -> bool:
    """Return whether the bus connects and a request over it is answered."""
    try:
        async with asyncio.timeout(10):
            await bus.start()
        return await bus.request(ECHO, Question(text="a")) == Answer(text="a")
    finally:
        await bus.stop()


@pytest.mark.requirement("O-6", "setting NATS_CA", "setting NATS_CERT", "setting NATS_KEY")
async def test_connection_over_tls_needs_the_servers_ca_and_the_certificate_that_it_asks_for(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    server_cert, server_key = authority.issue("server")
    cert, key = authority.issue("client")
    tls = f'cert_file: "{server_cert}", key_file: "{server_key}", ca_file: "{authority.path}", verify: true'
    async with running(f"tls {{ {tls} }}") as server:
        for scheme in ("tls", "nats"):
            url = server.url.replace("nats", scheme)
            assert await answers(bus_to(url, TlsFiles(authority.path, cert, key)))
        refused = [
            bus_to(server.url, TlsFiles(authority.path)),
            bus_to(server.url, TlsFiles(CertificateAuthority(tmp_path, "another CA").path, cert, key)),
            bus_to(server.url),
        ]
        attempts = [asyncio.create_task(bus.start()) for bus in refused]
        try:
            await until(lambda: server.read_log().count("TLS handshake error") >= 2 * len(refused))
            assert not any(bus.connected for bus in refused)
        finally:
            for attempt, bus in zip(attempts, refused, strict=True):
                while not attempt.done():  # nats-py swallows a cancellation during a failed connect
                    attempt.cancel()
                    await asyncio.wait({attempt}, timeout=0.1)
                await bus.stop()


@pytest.mark.requirement("O-6")
async def test_start_fails_where_tls_is_required_and_the_server_has_none(authority: CertificateAuthority) -> None:
    async with running(LOGIN) as server:
        for url, tls in (
            (server.url.replace("nats", "tls"), NO_TLS_FILES),
            (f"{server.url},{server.url.replace('nats', 'tls')}", NO_TLS_FILES),
            (server.url, TlsFiles(authority.path)),
        ):
            bus = bus_to(url, tls, user="us:er", password=PASSWORD)
            with pytest.raises(TlsNotOffered, match=rf"127.0.0.1:{server.port} does not offer TLS"):
                await answers(bus)
        assert "authentication error" not in server.read_log()


@pytest.mark.requirement("O-6")
async def test_lost_tls_connection_is_not_renewed_in_plain_text(authority: CertificateAuthority) -> None:
    cert, key = authority.issue("server")
    config = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
    async with running(config) as server:
        bus = bus_to(server.url.replace("nats", "tls"), TlsFiles(authority.path))
        refused: list[str] = []
        original = bus._on_error

        async def note(error: Exception) -> None:
            refused.append(str(error))
            await original(error)

        bus._options["error_cb"] = note
        try:
            await bus.start()
            server.kill()
            server.config = ""
            await server.start()
            await until(lambda: sum("does not offer TLS" in message for message in refused) >= 2)
            assert not bus.connected
            server.kill()
            server.config = config
            await server.start()
            await until(lambda: bus.connected)
        finally:
            await bus.stop()


async def test_credentials_may_have_special_characters() -> None:
    async with running(LOGIN) as server:
        assert await answers(bus_to(server.url, user="us:er", password=PASSWORD))
        encoded = "us%3Aer:p%40ss%3Aw%2Fo%23r%25d%20%22%5C$&+%C3%A9@"
        assert await answers(bus_to(server.url.replace("//", f"//{encoded}")))
