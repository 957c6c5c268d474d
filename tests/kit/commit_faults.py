"""Cuts connections to PostgreSQL before or after the commit of a transaction, or drops their traffic silently."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from stack.ports import find_free_ports

_LENGTH_BYTES = 4
_ENDED = (OSError, asyncio.IncompleteReadError)


class CommitFaults:
    """A proxy of a PostgreSQL server that cuts one connection when ``cut_commit`` says so.

    Attributes:
        has_cut: whether a connection was cut since the last ``cut_commit``.
        refuses_connections: whether new connections are closed at once, as during a restart of the server.
        sessions: the open connections.
    """

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        (port,) = find_free_ports(1)
        self._port, self.has_cut, self.refuses_connections = port, False, False
        self._statement, self._is_before = b"", False
        self._server: asyncio.Server | None = None
        self.sessions: set[_Session] = set()
        login = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}", query="sslmode=disable"))

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def cut_commit(self, statement: str, *, when: str) -> None:
        """Cut the connection at the commit of the next transaction that runs a statement with this text.

        Args:
            when: "before": the commit does not reach the server, which rolls back; "after": its reply is lost.
        """
        self._statement, self._is_before, self.has_cut = statement.encode(), when == "before", False

    def silence_sessions(self) -> None:
        """Drop all further traffic of the open connections, which both ends still take for open."""
        for session in self.sessions:
            session.is_silent = True

    def fail_over(self, port: int) -> None:
        """Forward new connections to another server, at this local port."""
        self._target = ("127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses_connections:
            writer.close()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        session = _Session()
        self.sessions.add(session)
        requests = asyncio.create_task(self._forward_requests(session, reader, server_writer))
        replies = asyncio.create_task(_forward_replies(session, server_reader, writer))
        try:
            await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.sessions.discard(session)
            for task in (requests, replies):
                task.cancel()
            server_writer.close()
            writer.close()

    async def _forward_requests(
        self, session: "_Session", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(*_ENDED):
            writer.write(await _read_message(reader))  # the startup message, which has no type
            while True:
                kind = await reader.readexactly(1)
                message = await _read_message(reader)
                session.record(kind, message[_LENGTH_BYTES:])
                if self._statement and session.is_committing and session.ran(self._statement):
                    self._statement, self.has_cut = b"", True
                    if self._is_before:
                        return
                    session.loses_reply = True
                if not session.is_silent:
                    writer.write(kind + message)
                    await writer.drain()


class _Session:
    """The statements of the current transaction of one connection."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, bytes] = {}
        self._statements: list[bytes] = []
        self.is_committing, self.loses_reply, self.is_silent = False, False, False

    def record(self, kind: bytes, body: bytes) -> None:
        """Record a message of the client, as in "Message Formats" of PostgreSQL's documentation."""
        self.is_committing = False
        if kind == b"P":  # Parse
            name, statement = body.split(b"\0")[:2]
            self._prepared[name] = statement
        elif kind == b"B":  # Bind
            self._statements.append(self._prepared.get(body.split(b"\0")[1], b""))
        elif kind == b"Q":  # Query
            if body.startswith(b"BEGIN"):
                self._statements.clear()
            self.is_committing = body.startswith(b"COMMIT")

    def ran(self, statement: bytes) -> bool:
        return any(statement in one for one in self._statements)


async def _forward_replies(session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(*_ENDED):
        while data := await reader.read(1 << 16):
            if session.loses_reply:
                return
            if not session.is_silent:
                writer.write(data)
                await writer.drain()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(_LENGTH_BYTES)
    return length + await reader.readexactly(int.from_bytes(length) - _LENGTH_BYTES)


@asynccontextmanager
async def running_faults(database_url: str) -> AsyncIterator[CommitFaults]:
    """Run the proxy of a database; it is stopped at the end."""
    faults = CommitFaults(database_url)
    await faults.start()
    try:
        yield faults
    finally:
        faults.stop()
