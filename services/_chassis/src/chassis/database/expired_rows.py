"""Deletes expired rows in bounded batches: a backlog of millions neither times out nor holds locks for long."""

from typing import Any

from chassis.database.postgres import Database
from chassis.database.statement import Statement

ROWS_PER_TRANSACTION = 2_000  # rows per transaction: some 10 ms


class ExpiredRows:
    """Rows of one table that match a condition.

    Args:
        table: name of the table.
        condition: SQL about columns of the table, with named parameters. Without an index for it every batch reads the
            whole table.
        batch: maximum number of rows deleted in one transaction.
    """

    def __init__(self, table: str, condition: str, *, batch: int = ROWS_PER_TRANSACTION) -> None:
        self._batch = batch
        self._delete = Statement(f"""
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM {table} WHERE {condition} LIMIT {batch} FOR UPDATE SKIP LOCKED
    )) RETURNING 1
) SELECT count(*) FROM gone
""")  # noqa: S608 - constants of stores only

    async def delete(self, database: Database, **parameters: Any) -> int:
        """Delete all matching rows, and return how many this call deleted.

        Each batch is a transaction of its own. Several replicas may delete at once; rows that another replica is
        deleting are skipped.
        """
        total = 0
        while True:
            async with database.connection() as connection:
                deleted: int = await self._delete.fetch_value(connection, **parameters)
            total += deleted
            if deleted < self._batch:
                return total
