"""Who am I, and what may I use?"""

from uuid import UUID

from auth.store import users
from chassis.database.postgres import Database
from contracts.auth import Account, UnknownTenant


class AccountReader:
    """Tells users of themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, user_id: UUID) -> Account:
        """The account of that user.

        Raises:
            UnknownTenant: there is no such user, or it is deactivated.
        """
        async with self._database.single() as connection:
            user = await users.find(connection, user_id)
        if user is None or not user.is_active:
            raise UnknownTenant
        return user.account()
