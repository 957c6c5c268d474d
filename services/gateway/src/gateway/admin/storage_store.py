"""Storage totals."""

from dataclasses import dataclass

from chassis.database.postgres import Database
from chassis.database.statement import Statement


@dataclass(frozen=True, slots=True)
class FileTotals:
    """Number and total size of stored files."""

    count: int
    size_bytes: int


_ARTIFACTS = Statement("SELECT count(*) AS count, coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM artifacts")
_UPLOADS = Statement("SELECT count(*) AS count, coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM uploads")


class StorageTotals:
    """Reads every record, which takes a tenth of a second for a million of them, so cache the result."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sum_artifacts(self) -> FileTotals:
        """Return the totals of the outputs of jobs."""
        return await self._read_totals(_ARTIFACTS)

    async def sum_uploads(self) -> FileTotals:
        return await self._read_totals(_UPLOADS)

    async def _read_totals(self, statement: Statement) -> FileTotals:
        async with self._database.connection() as connection:
            row = await statement.fetch_first(connection)
        assert row is not None  # noqa: S101 - an aggregate returns one row
        return FileTotals(**row)
