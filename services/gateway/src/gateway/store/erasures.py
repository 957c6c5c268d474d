"""All that this database knows of a tenant, to be forgotten."""

from uuid import UUID

from chassis.postgres import Database
from chassis.statement import Statement

_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE {whose} = :tenant_id")  # noqa: S608 - constants only
    for table, whose in (
        ("artifacts", "tenant_id"),
        ("uploads", "tenant_id"),
        ("workflows", "tenant_id"),
        ("purged_jobs", "tenant_id"),
        ("usage_requests", "user_id"),
    )
)
_FORGET_BUCKETS = Statement("DELETE FROM rate_buckets WHERE key LIKE '%:' || CAST(:tenant AS text)")


class Erasures:
    """Every table that has something of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, tenant_id: UUID) -> None:
        """Forget the tenant. Its bytes go first: what was recorded is how they would be found again."""
        async with self._database.direct() as connection:
            for forget in _FORGET:
                await forget.run(connection, tenant_id=tenant_id)
            await _FORGET_BUCKETS.run(connection, tenant=str(tenant_id))
