"""Dead letters of streams. They are stored in the database of the service that could not handle them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from chassis.ids import new_id
from chassis.telemetry.logs import log
from contracts.wire.dead_letters import (
    DeadLetter,
    DeadLetterFailedAgain,
    DeadLetterNotRedrivable,
    DeadLetterPage,
    ListDeadLetters,
    RedriveDeadLetter,
    Redriven,
    UnknownDeadLetter,
)
from contracts.wire.text import clean_text

RETENTION_S = 14 * 86_400.0
MAX_DEAD_LETTERS = 10_000
MAX_EXCERPT = 16 << 10  # bytes
MAX_REASON = 2_000  # characters


def create_dead_letters_table(metadata: MetaData) -> Table:
    """Return the table of one service. Written by its stream consumers, read by admins."""
    return Table(
        "dead_letters",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("stream", Text, nullable=False),
        Column("consumer", Text, nullable=False, comment="the durable consumer that could not handle it"),
        Column("sequence", BigInteger, nullable=False, comment="number of the message in the stream"),
        Column("published_at", DateTime(timezone=True), nullable=False, comment="when the stream stored it"),
        Column("subject", Text, nullable=False),
        Column("tenant_id", Uuid, comment="from the subject"),
        Column("job_id", Uuid, comment="from the subject"),
        Column("code", Text, nullable=False),
        Column("reason", Text, nullable=False, comment="of the last failure"),
        Column("attempts", Integer, nullable=False, comment="deliveries and redrives"),
        Column("first_failed_at", DateTime(timezone=True), nullable=False),
        Column("last_failed_at", DateTime(timezone=True), nullable=False),
        Column("excerpt", LargeBinary, nullable=False, comment="the first 16 KiB of the message"),
        Column("payload", LargeBinary, comment="the whole message, to be handled again; null if it was too large"),
        Column("size_bytes", BigInteger, nullable=False, comment="of the whole message"),
        UniqueConstraint("consumer", "stream", "sequence", "published_at"),
        Index("ix_dead_letters_at", "at"),
        Index("ix_dead_letters_job_id", "job_id"),
        Index("ix_dead_letters_tenant_id", "tenant_id"),
        comment="Messages of streams that could not be handled. Deleted when handled, or after 14 days.",
    )


_ADD = Statement("""
INSERT INTO dead_letters (id, stream, consumer, sequence, published_at, subject, tenant_id, job_id, code, reason,
    attempts, first_failed_at, last_failed_at, excerpt, payload, size_bytes)
VALUES (:id, :stream, :consumer, :sequence, :published_at, :subject, :tenant_id, :job_id, :code, :reason,
    :attempts, :first_failed_at, now(), :excerpt, :payload, :size_bytes)
ON CONFLICT (consumer, stream, sequence, published_at) DO UPDATE
SET code = excluded.code, reason = excluded.reason, attempts = excluded.attempts, last_failed_at = now()
""")
_LIST = Statement("""
SELECT id, at, stream, consumer, sequence, subject, tenant_id, job_id, code, reason, attempts,
    first_failed_at, last_failed_at, payload IS NOT NULL AS redrivable, excerpt, size_bytes
FROM dead_letters WHERE CAST(:before AS uuid) IS NULL OR id < :before ORDER BY id DESC LIMIT :limit
""")
_LOAD = Statement("""
SELECT id, stream, consumer, sequence, published_at, subject, attempts, payload FROM dead_letters WHERE id = :id
""")
_COUNT_FAILURE = Statement("""
UPDATE dead_letters SET code = :code, reason = :reason, attempts = attempts + 1, last_failed_at = now() WHERE id = :id
""")
_DELETE = Statement("DELETE FROM dead_letters WHERE id = :id")
# Small batches: a row may have a payload of 1 MiB.
_EXPIRED = ExpiredRows(
    "dead_letters",
    "at < now() - make_interval(secs => :age_s)"
    " OR id <= (SELECT id FROM dead_letters ORDER BY id DESC OFFSET :keep LIMIT 1)",
    batch=200,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not handled. ``code`` and ``reason`` are those of the dead letter."""

    code: str
    reason: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that becomes a dead letter. ``payload`` is None if it is too large to be stored."""

    stream: str
    consumer: str
    sequence: int
    published_at: datetime
    subject: str
    tenant_id: UUID | None
    job_id: UUID | None
    attempts: int
    first_failed_at: datetime
    excerpt: bytes
    payload: bytes | None
    size_bytes: int


class DeadLetterStore:
    """The dead_letters table of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, message: DeadMessage, failure: Failure) -> None:
        """Store a dead letter. If the message is stored already, only its failure is updated."""
        fields = {name: getattr(message, name) for name in DeadMessage.__slots__}
        async with self._database.connection() as connection:
            await _ADD.execute(
                connection, id=new_id(), code=failure.code, reason=clean_text(failure.reason, MAX_REASON), **fields
            )

    async def list_page(self, *, limit: int, before: UUID | None) -> list[Row]:
        """Return up to ``limit`` rows, newest first."""
        async with self._database.connection() as connection:
            return await _LIST.fetch_all(connection, limit=limit, before=before)

    async def load(self, letter_id: UUID) -> Row | None:
        """Return the fields that are needed to handle a message again."""
        async with self._database.connection() as connection:
            return await _LOAD.fetch_first(connection, id=letter_id)

    async def count_failure(self, letter_id: UUID, failure: Failure) -> None:
        """Record that the message failed once more."""
        async with self._database.transaction() as connection:
            await _COUNT_FAILURE.execute(
                connection, id=letter_id, code=failure.code, reason=clean_text(failure.reason, MAX_REASON)
            )

    async def delete(self, letter_id: UUID) -> None:
        """Delete a dead letter whose message was handled."""
        async with self._database.transaction() as connection:
            await _DELETE.execute(connection, id=letter_id)

    async def prune(self, *, age_s: float = RETENTION_S, keep: int = MAX_DEAD_LETTERS) -> None:
        """Delete dead letters that are older than ``age_s`` seconds, and all but the newest ``keep``."""
        await _EXPIRED.delete(self._database, age_s=age_s, keep=keep)


class RedrivingConsumer(Protocol):
    """A consumer that can handle a dead letter again; see ``StreamConsumer``."""

    @property
    def key(self) -> tuple[str, str]:
        """Names of the stream and of the consumer."""

    async def redrive(self, row: Row) -> Failure | None:
        """Handle the message of a dead letter again. Returns why it failed again, None if it did not."""


class DeadLetters:
    """The dead letters of one service, as admins list and redrive them.

    Args:
        service: name of the service.
        store: stores them.
        consumers: the service's stream consumers.
    """

    def __init__(self, service: str, store: DeadLetterStore, consumers: Iterable[RedrivingConsumer]) -> None:
        self._service, self._store = service, store
        self._consumers = {consumer.key: consumer for consumer in consumers}

    async def list_page(self, query: ListDeadLetters) -> DeadLetterPage:
        """Return a page, newest first.

        A page for a node is empty, because nodes send no messages to these streams.
        """
        if query.node is not None:
            return DeadLetterPage(letters=(), more=False)
        rows = await self._store.list_page(limit=query.limit + 1, before=query.before)
        letters = tuple(self._build_dead_letter(row) for row in rows[: query.limit])
        return DeadLetterPage(letters=letters, more=len(rows) > query.limit)

    async def redrive(self, command: RedriveDeadLetter) -> Redriven:
        """Handle the message again and delete its dead letter.

        Raises:
            UnknownDeadLetter: there is no dead letter with this id.
            DeadLetterNotRedrivable: the message was too large to be stored, or its consumer no longer exists.
            DeadLetterFailedAgain: the handler raised again.
            OSError, asyncpg.PostgresError: the handler's database is unavailable.
        """
        row = await self._store.load(command.id)
        if row is None:
            raise UnknownDeadLetter
        if row["payload"] is None:
            raise DeadLetterNotRedrivable(reason="it was too large to be stored")
        consumer = self._consumers.get((row["stream"], row["consumer"]))
        if consumer is None:
            raise DeadLetterNotRedrivable(reason="its consumer no longer exists")
        failure = await consumer.redrive(row)
        if failure is not None:
            await self._store.count_failure(command.id, failure)
            raise DeadLetterFailedAgain(reason=clean_text(failure.reason, MAX_REASON).rstrip("."))
        await self._store.delete(command.id)
        log.info("dead_letters.redriven", id=str(command.id), subject=row["subject"])
        return Redriven(id=command.id)

    def _build_dead_letter(self, row: Row) -> DeadLetter:
        fields: dict[str, Any] = dict(row)
        excerpt = clean_text(fields.pop("excerpt").decode("utf-8", "replace"), MAX_EXCERPT)
        return DeadLetter(service=self._service, excerpt=excerpt, **fields)
