"""Deletes all rows of a tenant."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Statement

NOBODY = UUID(int=0)
"""The owner of requests of erased users, so that sums over all users do not shrink."""

# Ordered by key, so that concurrent statements cannot deadlock.
_REQUESTS = Statement("""
WITH gone AS (DELETE FROM usage_requests WHERE user_id = :tenant_id RETURNING day, endpoint, requests)
INSERT INTO usage_requests AS kept (user_id, day, endpoint, requests)
SELECT CAST(:nobody AS uuid), day, endpoint, requests FROM gone ORDER BY 1, 2, 3
ON CONFLICT (user_id, day, endpoint) DO UPDATE SET requests = kept.requests + excluded.requests
""")
# Not purged_jobs, which refuses late uploads. Rate buckets are pruned once they are full.
_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE tenant_id = :tenant_id")  # noqa: S608 - constants only
    for table in ("artifacts", "uploads", "workflows", "job_shares", "dead_letters")
)


class ErasureStore:
    """Every table with rows of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_tenant(self, tenant_id: UUID) -> None:
        """Delete the tenant's rows; its requests are counted under ``NOBODY``.

        Delete its files first: without the rows they could not be found.
        """
        async with self._database.transaction() as connection:
            for forget in _FORGET:
                await forget.execute(connection, tenant_id=tenant_id)
            await _REQUESTS.execute(connection, tenant_id=tenant_id, nobody=NOBODY)
