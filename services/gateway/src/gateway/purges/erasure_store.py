"""Deletes all rows of a tenant."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Statement

ERASED_USER = UUID(int=0)
"""The user under which the requests of erased users are counted, so that sums over all users stay the same."""

# Ordered by key, so that concurrent statements cannot deadlock.
_MOVE_REQUESTS = Statement("""
WITH deleted AS (DELETE FROM usage_requests WHERE user_id = :tenant_id RETURNING day, endpoint, requests)
INSERT INTO usage_requests AS kept (user_id, day, endpoint, requests)
SELECT CAST(:erased_user AS uuid), day, endpoint, requests FROM deleted ORDER BY 1, 2, 3
ON CONFLICT (user_id, day, endpoint) DO UPDATE SET requests = kept.requests + excluded.requests
""")
# Not purged_jobs, which refuses late uploads. Rate buckets are pruned once they are full.
_DELETE_ROWS = tuple(
    Statement(f"DELETE FROM {table} WHERE tenant_id = :tenant_id")  # noqa: S608 - constants only
    for table in ("artifacts", "uploads", "workflows", "job_shares", "dead_letters")
)


class ErasureStore:
    """All tables with rows of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_tenant(self, tenant_id: UUID) -> None:
        """Delete the tenant's rows; its requests are counted under ``ERASED_USER``.

        Delete its files first: without the rows they could not be found.
        """
        async with self._database.direct() as connection:
            for delete_rows in _DELETE_ROWS:
                await delete_rows.run(connection, tenant_id=tenant_id)
            await _MOVE_REQUESTS.run(connection, tenant_id=tenant_id, erased_user=ERASED_USER)
