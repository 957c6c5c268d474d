"""A service's own PostgreSQL database."""

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

from chassis.telemetry.logs import log

CONNECT_S = 1.5  # a client hears of a database that is away within 2 s
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

AWAY = (
    OSError,  # and TimeoutError with it
    PoolTimeoutError,
    OperationalError,
    InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's own confusion about a connection that was cut within a statement
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,  # not away, but gone the same way: undone, and worth one more try; so the next
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # a statement took too long: overload
    asyncpg.InsufficientResourcesError,  # disk or memory is full
    asyncpg.ReadOnlySQLTransactionError,  # a standby that was not promoted yet
)
UNSTORABLE = (
    asyncpg.DataError,  # the server: NUL in a text, a number out of range
    asyncpg.exceptions._base.DataError,  # noqa: SLF001 - the client, before it sends: has no public name of its own
    UnicodeEncodeError,  # a lone surrogate
)


def new_metadata() -> MetaData:
    """Metadata whose constraints have predictable names, so that migrations can name them."""
    return MetaData(naming_convention=NAMING)


def is_unavailable(error: BaseException) -> bool:
    """Whether this error says that the database (or the way to it) is gone, rather than that we did wrong."""
    if is_unstorable(error):  # asyncpg's own class of it is an InterfaceError, too
        return False
    cause = _cause(error)
    return isinstance(error, AWAY) or isinstance(cause, AWAY) or getattr(error, "connection_invalidated", False)


def is_unstorable(error: BaseException) -> bool:
    """Whether this error says that a value cannot be stored: repeating it will never help."""
    return isinstance(error, UNSTORABLE) or isinstance(_cause(error), UNSTORABLE)


def _cause(error: BaseException) -> BaseException | None:
    """What SQLAlchemy wrapped."""
    return getattr(getattr(error, "orig", None), "__cause__", None)


class Database:
    """Connections to one database: READ COMMITTED, bounded in number and in time."""

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
        """One transaction: committed when the block ends, undone when it raises.

        Raises:
            OSError, sqlalchemy.exc.DBAPIError: see ``is_unavailable``; whether the transaction committed is unknown.
        """
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[asyncpg.Connection]:
        """One transaction like ``transaction``, on asyncpg itself; JSON is given as text and comes back decoded."""
        pool = await self._direct_pool()
        async with pool.acquire(timeout=CONNECT_S) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def single(self) -> AsyncIterator[asyncpg.Connection]:
        """Statements each of which is a transaction of its own, on asyncpg itself."""
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
        """Statements that only read, each on its own: no transaction is opened or closed around them."""
        async with self._reads.connect() as connection:
            yield connection

    async def probe(self) -> None:
        """Return if the database answers, raise if not."""
        async with asyncio.timeout(CONNECT_S), self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def listen(self, channels: dict[str, Callable[[], None]]) -> None:
        """Call back on every NOTIFY of these channels, for ever; a lost connection is made again.

        Each callback is also called once after every (re)connection: what happened in between is unknown.
        """
        while True:
            try:
                await self._listen_once(channels)
            except Exception as error:  # noqa: BLE001 - the edge of a task: it must outlive any fault of the database
                log.warning("postgres.listen_lost", error=type(error).__name__)
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
        """Close every connection."""
        await self._engine.dispose()
        if self._pool is not None:
            self._pool.terminate()


async def _json_as_text(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=str, decoder=orjson.loads, schema="pg_catalog")


async def _keep(_: asyncpg.Connection) -> None:
    """Nothing of ours outlives its transaction, so RESET ALL after each would only be one more round trip."""
