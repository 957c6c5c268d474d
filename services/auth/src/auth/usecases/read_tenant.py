"""What may this tenant use?"""

from uuid import UUID

from auth.store.users import UserStore
from contracts.auth import Tenant, UnknownTenant


class TenantReader:
    """Tells the tier and the limits of tenants."""

    def __init__(self, users: UserStore) -> None:
        self._users = users

    async def read(self, tenant: str) -> Tenant:
        """The tenant of that id.

        Raises:
            UnknownTenant: there is none.
        """
        try:
            found = await self._users.find_tenant(UUID(tenant))
        except ValueError:
            found = None
        if found is None:
            raise UnknownTenant
        return found
