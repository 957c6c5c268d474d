"""Somebody makes an account."""

from auth.domain.account import account_errors, normalised_email
from auth.domain.password import Policy
from auth.store import audit, logins
from auth.store.audit import Entry
from auth.usecases.hashing import HashingPool
from chassis.ids import new_id
from chassis.postgres import Database
from contracts.auth import AccountTaken, InvalidAccount, Register, User


class Registrar:
    """Makes accounts of tier ``free``."""

    def __init__(self, database: Database, hashing: HashingPool, policy: Policy) -> None:
        self._database, self._hashing, self._policy = database, hashing, policy

    async def register(self, command: Register) -> User:
        """The new account.

        The password is hashed before anybody looks whether the name is free: both answers take as long.

        Raises:
            InvalidAccount: name, address or password cannot be like this; says what is wrong with each.
            AccountTaken: name or address are taken, in whatever case; never says which.
            Busy: too many passwords wait to be hashed.
        """
        with self._hashing.place():
            password = command.password.get_secret_value()
            username, email = command.username, normalised_email(command.email)
            errors = account_errors(username, command.email) + self._policy.errors(
                password, username=username, email=command.email, pointer="/password"
            )
            if errors or email is None:
                raise InvalidAccount(errors=errors)
            password_hash = await self._hashing.make(password)
            async with self._database.direct() as connection:
                made = await logins.make(
                    connection, new_id(), username=username, email=email, password_hash=password_hash
                )
                if made is None:
                    raise AccountTaken
                await audit.record(
                    connection, Entry("account.made", actor_id=made.id, subject_id=made.id, ip=command.ip)
                )
        return made
