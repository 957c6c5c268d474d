"""The transactional outbox: what a transaction says is said if and only if it commits, at least once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from nats.errors import Error as NatsError
from nats.js.errors import APIError
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

from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from chassis.messaging.bus import Bus

BATCH = 200
TOGETHER = 30  # rows; fewer may cost NATS less one by one than as a batch (decision record 0022)
NO_BATCHES = 10174  # JetStream's code: the stream was made without ``allow_atomic``
ACKNOWLEDGED_S = 5.0  # a server that dies owes its acknowledgements for ever; rows stay locked for as long
GATHER_S = 0.05  # what is said meanwhile shares the transactions; who cannot wait is told live
CHANNEL = "outbox"

NOTIFY_SQL = (
    f"""
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('{CHANNEL}', ''); RETURN NULL; END $$
""",
    "CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify()",
)
"""For the migration that makes the table: the relay is woken by the commit itself."""


def outbox_table(metadata: MetaData) -> Table:
    """The outbox of one database. Written by every transaction that says something, read by the relay only."""
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
_MARK = Statement("UPDATE outbox SET published_at = now() WHERE id = ANY(:ids)")
# Published rows stay for an hour, to be said again after a stream was lost.
_PRUNE = Statement("DELETE FROM outbox WHERE published_at < now() - interval '1 hour'")
_REPEAT = Statement("UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL")


class Relay:
    """Publishes the outbox. Several may run: rows are locked while they are being published.

    Rows are published in order. Those of one topic that wait together are stored together, in one atomic batch.
    A crash between publishing and marking publishes again under the same ``Nats-Msg-Id``.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._batchless: set[str] = set()

    async def tick(self) -> None:
        """Publish until nothing is left or JetStream does not take it. A duty for ``chassis.loop.Loop``."""
        await asyncio.sleep(GATHER_S)
        while self._bus.connected and await self._publish_batch():
            pass

    async def prune(self) -> None:
        """Drop what was published long ago."""
        async with self._database.direct() as connection:
            await _PRUNE.run(connection)

    async def repeat(self) -> None:
        """Publish everything that is still kept once more: the stream that held it is gone."""
        self._batchless.clear()
        async with self._database.direct() as connection:
            await _REPEAT.run(connection)

    async def _publish_batch(self) -> bool:
        """Publish one batch; whether to go on."""
        async with self._database.direct() as connection:
            rows = await _TAKE.all(connection, batch=BATCH)
            if not rows:
                return False
            done = await self._publish(rows)
            await _MARK.run(connection, ids=done)
        return len(done) == len(rows) == BATCH

    async def _publish(self, rows: Sequence[Row]) -> list[int]:
        """Publish rows, together if that may be; the ids of those that are known to be stored."""
        topics = {_topic(row["subject"]) for row in rows}  # those of two may belong to two streams
        together = len(rows) >= TOGETHER and len(topics) == 1 and not topics & self._batchless
        try:
            if together and await self._publish_together(rows):
                return [row["id"] for row in rows]
        except APIError as refusal:  # it stored nothing: one of them is there already, or no batch is taken (now)
            if refusal.err_code == NO_BATCHES:
                self._batchless |= topics
        except (NatsError, OSError):
            return []
        return await self._publish_each(rows)

    async def _publish_together(self, rows: Sequence[Row]) -> bool:
        """Publish rows as one atomic batch; False if a server that knows of none took them for single messages.

        Raises:
            APIError: it was refused as a whole.
            NatsError, OSError: whether it is stored is unknown.
        """
        batch_id = uuid4().hex
        *staged, (commit, headers) = [
            (row, _headers(row) | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)})
            for number, row in enumerate(rows, 1)
        ]
        for row, its_headers in staged:
            await self._bus.publish_raw(row["subject"], row["body"], its_headers)
        acknowledged = await self._bus.jetstream.publish(
            commit["subject"], commit["body"], ACKNOWLEDGED_S, headers=headers | {"Nats-Batch-Commit": "1"}
        )
        return acknowledged.batch_size == len(rows)

    async def _publish_each(self, rows: Sequence[Row]) -> list[int]:
        """Publish rows without waiting for one before sending the next; the ids up to the first that was not stored."""
        jetstream = self._bus.jetstream
        try:
            pending = [
                (row["id"], await jetstream.publish_async(row["subject"], row["body"], headers=_headers(row)))
                for row in rows
            ]
        except (NatsError, OSError):
            return []
        done: list[int] = []
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGED_S):
                for row_id, acknowledged in pending:
                    await acknowledged
                    done.append(row_id)
        return done


def _topic(subject: str) -> str:
    return ".".join(subject.split(".", 5)[:5])


def _headers(row: Row) -> dict[str, str]:
    return {"Nats-Msg-Id": str(row["message_id"])}
