"""Is it an admin who asks?"""

from uuid import UUID

from auth.store import users
from chassis.database.statement import Connection
from contracts.auth import MissingScope, Role, Scope


async def require_admin(connection: Connection, user_id: UUID) -> None:
    """Let only an active admin go on, whatever the credential said when it was read.

    Raises:
        MissingScope: the user is none now.
    """
    actor = await users.find(connection, user_id)
    if actor is None or not actor.is_active or actor.role is not Role.ADMIN:
        raise MissingScope(scope=Scope.ADMIN)
