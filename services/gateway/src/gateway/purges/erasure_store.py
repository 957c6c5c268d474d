"""All that this database knows of a tenant, to be forgotten."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Statement

NOBODY = UUID(int=0)
"""Whose the requests are that users made who were erased since: everybody's sums do not shrink."""

# In the order of their key, as everywhere.
_REQUESTS = Statement("""
WITH gone AS (DELETE FROM usage_requests WHERE user_id = :tenant_id RETURNING day, endpoint, requests)
INSERT INTO usage_requests AS kept (user_id, day, endpoint, requests)
SELECT CAST(:nobody AS uuid), day, endpoint, requests FROM gone ORDER BY 1, 2, 3
ON CONFLICT (user_id, day, endpoint) DO UPDATE SET requests = kept.requests + excluded.requests
""")
# Not purged_jobs: they keep out what is still on its way. Rate buckets are forgotten by themselves once they are full.
_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE tenant_id = :tenant_id")  # noqa: S608 - constants only
    for table in ("artifacts", "uploads", "workflows", "dead_letters")
)


class Erasures:
    """Every table that has something of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, tenant_id: UUID) -> None:
        """Forget the tenant; its requests stay counted as nobody's.

        Its bytes go first: what was recorded is how they would be found again.
        """
        async with self._database.direct() as connection:
            for forget in _FORGET:
                await forget.run(connection, tenant_id=tenant_id)
            await _REQUESTS.run(connection, tenant_id=tenant_id, nobody=NOBODY)
