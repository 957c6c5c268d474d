from uuid import UUID

from auth.store import users
from chassis.database.statement import Connection
from contracts.auth.accounts import Role
from contracts.auth.credentials import MissingScope, Scope


async def require_admin(connection: Connection, user_id: UUID) -> None:
    """Check in the database that the user is an active admin, regardless of what the credential claims.

    Raises:
        MissingScope: the user is not an active admin.
    """
    actor = await users.find_user(connection, user_id)
    if actor is None or not actor.is_active or actor.role is not Role.ADMIN:
        raise MissingScope(scope=Scope.ADMIN)
