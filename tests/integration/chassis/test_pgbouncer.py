"""A service's database behind PgBouncer in transaction mode, over TLS."""

import asyncio
import datetime
import ipaddress
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from chassis.database.migrate import migrate
from chassis.database.postgres import SESSION_TIMEOUTS
from chassis.database.url import DatabaseUrl
from tests.kit.pgbouncer import PgBouncer, find_pgbouncer
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.waiting import until

TASKS = 40

pytestmark = pytest.mark.skipif(find_pgbouncer() is None, reason="pgbouncer is not installed")


def write_certificate(path: Path) -> None:
    """Write a self-signed certificate of 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pooler")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )


@pytest.fixture(scope="module")
async def server_url(postgres_server: PostgresServer) -> DatabaseUrl:
    """The URL of the server itself, migrated for services that connect through a pooler."""
    url = DatabaseUrl.parse(await postgres_server.create_database("scheduler"))
    await asyncio.to_thread(migrate, "scheduler", url, within_s=10, is_pooled=True)
    return url


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    write_certificate(path)
    return path


@pytest.fixture(scope="module")
async def pooled_url(server_url: DatabaseUrl, certificate: Path) -> AsyncIterator[DatabaseUrl]:
    pooler = PgBouncer(server_url.render(), certificate)
    try:
        await pooler.start()
        yield DatabaseUrl.parse(pooler.url(server_url.render())).add_ca(certificate)
    finally:
        pooler.remove()


async def test_concurrent_statements_share_the_connections_of_a_pooler(pooled_url: DatabaseUrl) -> None:
    database = database_with_long_timeout(pooled_url, pool_size=8)

    async def work(number: int) -> tuple[object, ...]:
        uuid = uuid4()
        async with database.connection() as connection:
            body = await connection.fetchval("SELECT CAST($1 AS jsonb)", json.dumps({"number": number}))
            uuids = await connection.fetchval("SELECT CAST($1 AS uuid[])", [uuid])
        async with database.transaction() as connection:
            await connection.execute("SELECT set_config('test.number', $1, true)", str(number))
            setting = await connection.fetchval("SELECT current_setting('test.number')")
        return body == {"number": number}, uuids == [UUID(str(uuid))], setting == str(number)

    assert await asyncio.gather(*map(work, range(TASKS))) == [(True, True, True)] * TASKS
    await database.close()


async def test_statement_and_lock_timeouts_apply_behind_a_pooler(pooled_url: DatabaseUrl) -> None:
    database = database_with_long_timeout(pooled_url)
    async with database.connection() as connection:
        found = {name: await connection.fetchval(f"SELECT current_setting('{name}')") for name in SESSION_TIMEOUTS}
    assert found == SESSION_TIMEOUTS
    await database.close()


async def test_notifications_use_a_separate_connection(pooled_url: DatabaseUrl, server_url: DatabaseUrl) -> None:
    database = database_with_long_timeout(pooled_url, listen_url=server_url)
    heard = asyncio.Semaphore(0)
    listening = asyncio.create_task(database.listen({"channel": lambda _: heard.release()}))
    async with asyncio.timeout(20):
        await heard.acquire()  # once after connecting
        async with database.connection() as connection:
            await connection.execute("NOTIFY channel")
        await heard.acquire()
    listening.cancel()
    await asyncio.wait({listening})
    await database.close()


async def test_listening_for_notifications_through_a_pooler_is_reported(pooled_url: DatabaseUrl) -> None:
    database = database_with_long_timeout(pooled_url)
    with capture_logs() as lines:
        listening = asyncio.create_task(database.listen({"channel": lambda _: None}))
        await until(lambda: any(line["event"] == "postgres.listen_through_pooler" for line in lines))
        listening.cancel()
        await asyncio.wait({listening})
    await database.close()


async def test_database_server_with_an_untrusted_certificate_is_refused(
    pooled_url: DatabaseUrl, tmp_path: Path
) -> None:
    write_certificate(tmp_path / "other.pem")
    plain = DatabaseUrl.parse(pooled_url.render().partition("?")[0])
    database = database_with_long_timeout(plain.add_ca(tmp_path / "other.pem"))
    with pytest.raises(OSError, match="certificate verify failed"):
        await database.probe()
    await database.close()
