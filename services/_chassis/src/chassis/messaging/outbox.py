"""The transactional outbox: messages of a transaction are published if and only if it commits, at least once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from nats.errors import Error as NatsError
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from chassis.messaging.bus import Bus

BATCH_SIZE = 200
ACKNOWLEDGE_TIMEOUT_S = 5.0  # rows stay locked until then; a server that died never acknowledges
BATCH_DELAY_S = 0.05  # before rows are taken, so that many share a transaction; live copies of events are not delayed
NOTIFY_CHANNEL = "outbox"

NOTIFY_SQL = (
    f"""
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('{NOTIFY_CHANNEL}', ''); RETURN NULL; END $$
""",
    "CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify()",
)
"""For the migration that creates the table: the commit of a message wakes the relay."""


def create_outbox_table(metadata: MetaData) -> Table:
    """Return the outbox table of one database. Transactions insert messages; the relay publishes them."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("message_id", Uuid, nullable=False, comment="becomes Nats-Msg-Id: a second copy is dropped"),
        Column("subject", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("published_at", DateTime(timezone=True)),
        Index("ix_outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),
        Index("ix_outbox_published_at", "published_at"),
    )


_TAKE = Statement("""
SELECT id, message_id, subject, body FROM outbox
WHERE published_at IS NULL ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
""")
_MARK = Statement("UPDATE outbox SET published_at = now() WHERE id = ANY(CAST(:ids AS bigint[]))")
_OLDEST = Statement("""
SELECT extract(epoch FROM now() - created_at)::float FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 1
""")
# Published rows stay for an hour, to be published again after a stream was lost.
_EXPIRED = ExpiredRows("outbox", "published_at < now() - interval '1 hour'")
_REPUBLISH = Statement("UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL")


class OutboxRelay:
    """Publishes the outbox in order. Several may run: rows are locked while they are being published.

    A crash between publishing and marking publishes again under the same ``Nats-Msg-Id``.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus

    async def tick(self) -> None:
        """Publish until nothing is left or JetStream does not accept a message."""
        await asyncio.sleep(BATCH_DELAY_S)
        while self._bus.connected and await self._publish_batch():
            pass

    async def prune(self) -> None:
        """Delete rows that were published long ago."""
        await _EXPIRED.delete(self._database)

    async def measure_oldest_s(self) -> float:
        """Return the age of the oldest unpublished message in seconds; 0 if there is none."""
        async with self._database.connection() as connection:
            return float(await _OLDEST.fetch_value(connection) or 0)

    async def republish(self) -> None:
        """Publish all remaining rows again, because their stream was lost."""
        async with self._database.transaction() as connection:
            await _REPUBLISH.execute(connection)

    async def _publish_batch(self) -> bool:
        """Publish one batch of rows. Returns whether there may be more."""
        async with self._database.transaction() as connection:
            rows = await _TAKE.fetch_all(connection, batch=BATCH_SIZE)
            if not rows:
                return False
            done = await self._publish_rows(rows)
            await _MARK.execute(connection, ids=done)
        return len(done) == len(rows) == BATCH_SIZE

    async def _publish_rows(self, rows: Sequence[Row]) -> list[int]:
        """Publish rows and wait for the acknowledgements. Returns the ids up to the first row that was not stored."""
        jetstream = self._bus.jetstream
        try:
            pending = [
                (row["id"], await jetstream.publish_async(row["subject"], row["body"], headers=_build_headers(row)))
                for row in rows
            ]
        except (NatsError, OSError):
            return []
        done: list[int] = []
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                for row_id, acknowledged in pending:
                    await acknowledged
                    done.append(row_id)
        return done


def _build_headers(row: Row) -> dict[str, str]:
    return {"Nats-Msg-Id": str(row["message_id"])}
