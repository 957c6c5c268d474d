from uuid import UUID

from auth.store import users
from chassis.database.postgres import Database
from contracts.auth.accounts import Tenant, UnknownTenant


class TenantReader:
    """Reads tier and limits of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_tenant(self, tenant_id: UUID) -> Tenant:
        """Return the tenant, deactivated or not.

        Raises:
            UnknownTenant: there is no such tenant.
        """
        async with self._database.connection() as connection:
            user = await users.find_user(connection, tenant_id)
        if user is None:
            raise UnknownTenant
        return Tenant(
            tenant_id=user.id,
            tier=user.tier,
            is_active=user.is_active,
            limits=user.limits,
            quota_group=user.quota_group,
        )
