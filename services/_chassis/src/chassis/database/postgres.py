"""Connection pool of a service's own PostgreSQL database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy import MetaData

from chassis.database.url import DatabaseUrl
from chassis.telemetry.logs import log

CONNECT_TIMEOUT_S = 1.5  # a client gets an error within 2 s if the database is unavailable
MIN_OUTCOME_READS = 2  # a pause of this process or of the server can use up the time of one
READ_OUTCOME_PAUSE_S = 0.05  # a commit that is in progress takes milliseconds, a refused connection none
STATEMENT_TIMEOUT_S = 10
LISTEN_CHECK_S = 5.0  # a network can drop a connection without telling either end
SESSION_TIMEOUTS = {
    "lock_timeout": "5s",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": "15s",
}
"""Settings of every session of a service. Migrations and poolers: see ``chassis.database.migrate``."""
CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

UNAVAILABLE_ERRORS = (
    OSError,  # includes TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised by the driver when a connection is cut during a statement
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    # the database is available, but it rolled the transaction back or refuses it for now; a retry can succeed
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # statement timeout: overload
    asyncpg.InsufficientResourcesError,  # disk or memory full
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not promoted yet
    # the login or the database is missing or wrong: an operator must repair it
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
UNSTORABLE_ERRORS = (
    asyncpg.DataError,  # server error: NUL in a text, or a number out of range
    asyncpg.exceptions._base.DataError,  # noqa: SLF001 - raised by asyncpg before it sends; the class has no public name
    UnicodeEncodeError,  # a lone surrogate
)

# After a crash, PostgreSQL gives ids again whose WAL was not flushed. So an id belongs to one run of the server. The
# start time tells servers apart. It stays the same when PostgreSQL recovers from the crash of one backend, but every
# crash resets the statistics. Every role may read both.
_SERVER_RUN = """(
    SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), extract(epoch FROM stats_reset))
    FROM pg_stat_bgwriter
) AS server_run"""
_READ_TRANSACTION_ID = f"SELECT pg_current_xact_id_if_assigned()::text AS number, {_SERVER_RUN}"
# A standby may not have replayed the commit yet, so only the primary can tell.
_READ_OUTCOME = f"""
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_xact_status($1::text::xid8) END AS outcome, {_SERVER_RUN}
"""
_COMMITTED, _ABORTED, _AMBIGUOUS = "committed", "aborted", "ambiguous"
_FINAL_OUTCOMES = (_COMMITTED, _ABORTED, _AMBIGUOUS)


class _TransactionId(NamedTuple):
    """Identifies a transaction.

    Attributes:
        number: PostgreSQL's id of it; None if it has written nothing.
        server_run: the run of the server that gave it.
    """

    number: str | None
    server_run: str


class CommitUnknown(ConnectionError):
    """The reply to COMMIT was lost, and the database did not tell whether the transaction committed.

    The work must not be repeated unless a repetition changes nothing.
    """


def new_metadata() -> MetaData:
    """Return metadata with predictable constraint names, so that migrations can refer to them."""
    return MetaData(naming_convention=CONSTRAINT_NAMES)


def is_unavailable(error: BaseException) -> bool:
    """Whether this error means that the database is unreachable or overloaded, and not that the request is wrong."""
    # asyncpg's DataError is also an InterfaceError.
    return isinstance(error, UNAVAILABLE_ERRORS) and not is_unstorable(error)


def is_unstorable(error: BaseException) -> bool:
    """Whether this error means that a value cannot be stored. Retrying does not help."""
    return isinstance(error, UNSTORABLE_ERRORS)


class Connector:
    """Connects to one of several database hosts. Starts with the host that accepted the last connection.

    Each host gets ``timeout_s`` seconds. asyncpg has one time limit for all hosts, which a first host that does not
    respond would use up.
    """

    def __init__(self, url: DatabaseUrl, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._arguments: dict[str, Any] | None = None
        self._next = 0

    async def connect(self, **options: Any) -> asyncpg.Connection:
        """Connect. ``options`` are those of ``asyncpg.connect``.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InternalClientError: no host is usable; the error is that of the
                last one.
        """
        if self._arguments is None:
            self._arguments = self._url.build_connect_arguments()
        hosts = self._url.hosts
        for remaining in reversed(range(len(hosts))):
            host, port = hosts[self._next]
            connection = None
            try:
                connection = await asyncpg.connect(
                    host=host, port=port, timeout=self._timeout_s, **self._arguments, **options
                )
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.InternalClientError):
                if not remaining:
                    raise
            else:
                return connection
            finally:
                if connection is None:  # also after a cancellation, so that the next call does not wait for this host
                    self._next = (self._next + 1) % len(hosts)
        raise AssertionError("a URL has at least one host")


class Database:
    """Connections to one database: READ COMMITTED, with a maximum number and timeouts.

    The URL may be that of a pooler in transaction mode, such as PgBouncer: then no prepared statements are kept and no
    session settings are sent. A pooler cannot pass on notifications, so ``listen`` needs a URL of the server itself.

    Args:
        url: URL of the database.
        name: name of the service, shown in the server's views as ``application_name``.
        pool_size: maximum number of connections, besides that of ``listen``.
        listen_url: URL of the server itself for ``listen``, if ``url`` is that of a pooler.
        connect_timeout_s: time to connect, and to wait for a free connection, seconds.
        listen_check_s: seconds between two checks of the connection of ``listen``, and for the reply to a check.
    """

    def __init__(
        self,
        url: str | DatabaseUrl,
        *,
        name: str,
        pool_size: int = 10,
        listen_url: DatabaseUrl | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        listen_check_s: float = LISTEN_CHECK_S,
    ) -> None:
        url = DatabaseUrl.parse(url) if isinstance(url, str) else url
        self.address = url.address
        """Hosts, database and user, without the password."""
        self._connector = Connector(url, timeout_s=connect_timeout_s)
        self._listen_connector = Connector(listen_url or url, timeout_s=connect_timeout_s)
        self._name, self._pool_size, self._connect_timeout_s = name, pool_size, connect_timeout_s
        self._listen_check_s = listen_check_s
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Run one transaction: committed when the block ends, rolled back when it raises.

        If the reply to COMMIT is lost, the database is asked whether the transaction committed. So the work may be
        repeated after any error but ``CommitUnknown``. JSON is passed as text and returned decoded.

        Raises:
            CommitUnknown: the reply to COMMIT was lost, and the database did not tell in time whether it committed, or
                cannot tell because it crashed or was replaced meanwhile.
            OSError, asyncpg.PostgresError: see ``is_unavailable``; the transaction was rolled back.
        """
        transaction_id: _TransactionId | None = None
        try:
            async with self.connection() as connection, connection.transaction():
                yield connection
                read = _TransactionId(**await connection.fetchrow(_READ_TRANSACTION_ID))
                # Without a number, the transaction has written nothing. Otherwise it is needed if the commit fails.
                transaction_id = read if read.number else None
        except UNAVAILABLE_ERRORS as error:
            if transaction_id is None or not await self._has_committed(transaction_id, error):
                raise

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Run statements, each in its own transaction.

        If a reply is lost, it is unknown whether its statement took effect. Use ``transaction`` for a statement that
        must not run twice.
        """
        pool = self._pool
        if pool is None:
            # for two connections, one after another, and the wait for the lock
            async with asyncio.timeout(2 * self._connect_timeout_s):
                pool = await self._open_pool()
        async with pool.acquire(timeout=self._connect_timeout_s) as connection:
            yield connection

    def count_connections(self) -> dict[tuple[str, str], int]:
        """Count connections by pool and state. Safe to call from any thread."""
        pool = self._pool
        open_, idle = (pool.get_size(), pool.get_idle_size()) if pool is not None else (0, 0)
        return {("main", "in_use"): open_ - idle, ("main", "idle"): idle}

    async def probe(self) -> None:
        """Raise unless the database responds."""
        async with asyncio.timeout(self._connect_timeout_s), self.connection() as connection:
            await connection.execute("SELECT 1")

    async def listen(self, channels: dict[str, Callable[[str], None]]) -> None:
        """Call back with the payload of every NOTIFY of these channels, forever. Reconnects if the connection is lost.

        The connection is checked periodically: after a silent loss, notifications are missed for at most twice
        ``listen_check_s`` and the time to connect.

        Each callback is also called once with "" after every (re)connection, because notifications in between are lost.
        """
        while True:
            try:
                await self._listen_once(channels)
            except Exception as error:  # noqa: BLE001 - the edge of a task: it must outlive any fault of the database
                log.warning("postgres.listen_connection_lost", error=type(error).__name__)
            await asyncio.sleep(0.5)

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _has_committed(self, transaction_id: _TransactionId, error: Exception) -> bool:
        """Whether a transaction committed whose reply to COMMIT was lost with this error.

        Takes at most about twice the timeout to connect.

        Raises:
            CommitUnknown: the database did not tell.
        """
        deadline = monotonic() + self._connect_timeout_s
        outcome, reads = await self._read_outcome(transaction_id), 1
        while outcome not in _FINAL_OUTCOMES and (reads < MIN_OUTCOME_READS or monotonic() < deadline):
            await asyncio.sleep(READ_OUTCOME_PAUSE_S)
            outcome, reads = await self._read_outcome(transaction_id), reads + 1
        log.warning("postgres.commit_reply_lost", outcome=outcome or "unknown", error=type(error).__name__)
        if outcome not in {_COMMITTED, _ABORTED}:
            raise CommitUnknown from error
        return outcome == _COMMITTED

    async def _read_outcome(self, transaction_id: _TransactionId) -> str | None:
        """Return the outcome of a transaction: one of ``_FINAL_OUTCOMES`` or "in progress".

        "ambiguous": the server has crashed or is another one, so it may have given the id to another transaction.
        None: the primary is unavailable.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s), self.connection() as connection:
                row = await connection.fetchrow(_READ_OUTCOME, transaction_id.number)
        except asyncpg.InvalidParameterValueError:
            return _ABORTED  # the id is in the future: the server lost the transaction
        except UNAVAILABLE_ERRORS:
            return None
        outcome: str | None = row["outcome"]
        if outcome in {None, _ABORTED} or row["server_run"] == transaction_id.server_run:
            return outcome
        return _AMBIGUOUS

    async def _listen_once(self, channels: dict[str, Callable[[str], None]]) -> None:
        connection = await self._listen_connector.connect(
            server_settings={"application_name": f"{self._name} listen"},
            statement_cache_size=0,
            command_timeout=self._listen_check_s,
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            if await _is_pooled(connection):
                log.error(
                    "postgres.listen_through_pooler",
                    reason="A pooler in transaction mode loses notifications, so jobs start up to 5 s late.",
                    action="Set LISTEN_URL to the PostgreSQL server itself.",
                )
            for channel, callback in channels.items():
                await connection.add_listener(channel, lambda *arguments, call=callback: call(arguments[-1]))
                callback("")
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._listen_check_s):
                        await lost.wait()
                        return
                await connection.execute("SELECT 1")
        except TimeoutError:
            connection.terminate()  # closing it waits for the server
            raise
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)

    async def _open_pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    min_size=1,
                    max_size=self._pool_size,
                    connect=lambda _dsn, **options: self._connector.connect(**options),
                    init=_set_json_codec,
                    reset=_skip_reset,
                    command_timeout=STATEMENT_TIMEOUT_S,
                    **await self._build_session_options(),
                )
            return self._pool

    async def _build_session_options(self) -> dict[str, Any]:
        """Return the options of connections that this server, or the pooler in front of it, accepts."""
        named = {"application_name": self._name}
        direct = {"server_settings": named | SESSION_TIMEOUTS}
        pooled = {"server_settings": named, "statement_cache_size": 0}
        try:
            connection = await self._connector.connect(**direct)
        except asyncpg.ProtocolViolationError as error:
            if "startup parameter" not in str(error):
                raise
            connection = await self._connector.connect(**pooled)
        try:
            if not await _is_pooled(connection):
                return direct
            timeout = await connection.fetchval("SELECT current_setting('statement_timeout')")
        finally:
            connection.terminate()
        log.info("postgres.pooler_found", where=self.address, statement_timeout=timeout)
        if timeout == "0":
            log.warning(
                "postgres.no_timeouts",
                reason="A pooler drops the timeouts of a session, and the database role has none.",
                action="Set LISTEN_URL to the PostgreSQL server itself and run the migrations.",
            )
        return pooled


async def _is_pooled(connection: asyncpg.Connection) -> bool:
    """Whether the connection goes through a pooler, which tells clients a process id that is not the server's."""
    return bool(connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"))


async def _set_json_codec(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=str, decoder=orjson.loads, schema="pg_catalog")


async def _skip_reset(_: asyncpg.Connection) -> None:
    """Skip asyncpg's RESET ALL after each use, which is a round trip: transactions leave no session state behind."""
