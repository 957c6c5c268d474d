"""All that this database knows of a tenant, to be forgotten."""

from uuid import UUID

from chassis.postgres import Database
from chassis.statement import Statement

# Not purged_jobs: they keep out what is still on its way. Rate buckets are forgotten by themselves once they are full.
_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE {whose} = :tenant_id")  # noqa: S608 - constants only
    for table, whose in (
        ("artifacts", "tenant_id"),
        ("uploads", "tenant_id"),
        ("workflows", "tenant_id"),
        ("usage_requests", "user_id"),
    )
)


class Erasures:
    """Every table that has something of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, tenant_id: UUID) -> None:
        """Forget the tenant. Its bytes go first: what was recorded is how they would be found again."""
        async with self._database.direct() as connection:
            for forget in _FORGET:
                await forget.run(connection, tenant_id=tenant_id)
