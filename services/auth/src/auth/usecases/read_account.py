from uuid import UUID

from auth.store import users
from chassis.database.postgres import Database
from contracts.auth.accounts import Account, UnknownTenant


class AccountReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_account(self, user_id: UUID) -> Account:
        """Return the account.

        Raises:
            UnknownTenant: the user does not exist or is deactivated.
        """
        async with self._database.connection() as connection:
            user = await users.find_user(connection, user_id)
        if user is None or not user.is_active:
            raise UnknownTenant
        return user.to_account()
