"""Connection pool of a service's own PostgreSQL database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import orjson
from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import QueuePool

from chassis.telemetry.logs import log

CONNECT_S = 1.5  # a client gets an error within 2 s if the database is unavailable
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

AWAY = (
    OSError,  # includes TimeoutError
    PoolTimeoutError,
    OperationalError,
    InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised by the driver when a connection is cut during a statement
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    # the database is available, but the transaction was rolled back and can be retried; the next one too
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # statement timeout: overload
    asyncpg.InsufficientResourcesError,  # disk or memory full
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not promoted yet
)
UNSTORABLE = (
    asyncpg.DataError,  # server error: NUL in a text, or a number out of range
    asyncpg.exceptions._base.DataError,  # noqa: SLF001 - the client, before it sends: has no public name of its own
    UnicodeEncodeError,  # a lone surrogate
)


def new_metadata() -> MetaData:
    """Return metadata with predictable constraint names, so that migrations can refer to them."""
    return MetaData(naming_convention=NAMING)


def is_unavailable(error: BaseException) -> bool:
    """Whether this error means that the database is unreachable or overloaded, and not that the request is wrong."""
    if is_unstorable(error):  # asyncpg's class for it is also an InterfaceError
        return False
    cause = _cause(error)
    return isinstance(error, AWAY) or isinstance(cause, AWAY) or getattr(error, "connection_invalidated", False)


def is_unstorable(error: BaseException) -> bool:
    """Whether this error means that a value cannot be stored. Retrying does not help."""
    return isinstance(error, UNSTORABLE) or isinstance(_cause(error), UNSTORABLE)


def _cause(error: BaseException) -> BaseException | None:
    """Return the driver's error that SQLAlchemy wrapped."""
    return getattr(getattr(error, "orig", None), "__cause__", None)


class Database:
    """Connections to one database: READ COMMITTED, with a maximum number and timeouts."""

    def __init__(self, url: str, *, name: str, pool_size: int = 10) -> None:
        self._dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connect: dict[str, Any] = {
            "timeout": CONNECT_S,
            "command_timeout": 10,
            "server_settings": {
                "application_name": name,
                "lock_timeout": "5s",
                "statement_timeout": "10s",
                "idle_in_transaction_session_timeout": "15s",
            },
        }
        self._pool: asyncpg.Pool | None = None
        self._pool_size, self._making = pool_size, asyncio.Lock()
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_S,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            connect_args=self._connect,
        )
        self._reads = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run one transaction: committed when the block ends, rolled back when it raises.

        Raises:
            OSError, sqlalchemy.exc.DBAPIError: see ``is_unavailable``; it is unknown whether the transaction committed.
        """
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[asyncpg.Connection]:
        """Run one transaction like ``transaction``, directly on asyncpg.

        JSON is passed as text and returned decoded.
        """
        pool = await self._direct_pool()
        async with pool.acquire(timeout=CONNECT_S) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def single(self) -> AsyncIterator[asyncpg.Connection]:
        """Run statements directly on asyncpg, each in its own transaction."""
        pool = await self._direct_pool()
        async with pool.acquire(timeout=CONNECT_S) as connection:
            yield connection

    async def _direct_pool(self) -> asyncpg.Pool:
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn, min_size=1, max_size=self._pool_size, init=_json_as_text, reset=_keep, **self._connect
                )
            return self._pool

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Run read-only statements, each on its own, without BEGIN and COMMIT around them."""
        async with self._reads.connect() as connection:
            yield connection

    def count_connections(self) -> dict[tuple[str, str], int]:
        """Count connections by pool and state. Safe to call from any thread."""
        queries, direct = self._engine.pool, self._pool
        open_, idle = (direct.get_size(), direct.get_idle_size()) if direct is not None else (0, 0)
        assert isinstance(queries, QueuePool)  # noqa: S101 - the pool of every asyncio engine
        return {
            ("queries", "in_use"): queries.checkedout(),
            ("queries", "idle"): queries.checkedin(),
            ("direct", "in_use"): open_ - idle,
            ("direct", "idle"): idle,
        }

    async def probe(self) -> None:
        """Raise unless the database responds."""
        async with asyncio.timeout(CONNECT_S), self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def listen(self, channels: dict[str, Callable[[], None]]) -> None:
        """Call back on every NOTIFY of these channels, forever. Reconnects when the connection is lost.

        Each callback is also called once after every (re)connection, because notifications in between are lost.
        """
        while True:
            try:
                await self._listen_once(channels)
            except Exception as error:  # noqa: BLE001 - the edge of a task: it must outlive any fault of the database
                log.warning("postgres.listen_connection_lost", error=type(error).__name__)
            await asyncio.sleep(0.5)

    async def _listen_once(self, channels: dict[str, Callable[[], None]]) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_S)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel, callback in channels.items():
                await connection.add_listener(channel, lambda *_, call=callback: call())
                callback()
            await lost.wait()
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)

    async def close(self) -> None:
        await self._engine.dispose()
        if self._pool is not None:
            self._pool.terminate()


async def _json_as_text(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=str, decoder=orjson.loads, schema="pg_catalog")


async def _keep(_: asyncpg.Connection) -> None:
    """Skip asyncpg's RESET ALL after each use, which is a round trip: transactions leave no session state behind."""
