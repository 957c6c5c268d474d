"""Lists the outputs of a tenant's completed jobs."""

from uuid import UUID

from chassis.database.postgres import Database
from contracts.scheduler.output_lists import ListOutputs, OutputPage
from scheduler.store import outputs


class OutputLister:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_outputs(self, tenant_id: UUID, query: ListOutputs) -> OutputPage:
        """Return a page of outputs, starting with the job that ended last. Outputs of purged jobs no longer exist."""
        async with self._database.single() as connection:
            found = await outputs.list_outputs(connection, tenant_id, query)
        return OutputPage(outputs=tuple(found[: query.limit]), more=len(found) > query.limit)
