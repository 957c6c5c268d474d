from datetime import timedelta
from typing import Any
from uuid import UUID

from auth.domain.account import account_errors, normalised_email
from auth.domain.invite import invite_digest
from auth.domain.password import Policy
from auth.domain.quota_group import AddressPepper
from auth.store import audit, invites, logins, quota_groups
from auth.store.audit import Entry
from auth.usecases.hashing import HashingPool
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.ids import new_id
from contracts.auth.accounts import AccountTaken, InvalidAccount, Register, Registration, RegistrationClosed, User
from contracts.auth.invites import InvalidInvite, InviteRequired
from contracts.auth.tiers import Tier


class Registrar:
    """Registers accounts in tier ``free``, or in the tier of an invite.

    Args:
        mode: who may register.
        shared_quota: accounts registered from one address within this time share one daily image quota; zero gives each
            its own. Invited accounts always have their own.
    """

    def __init__(
        self,
        database: Database,
        hashing: HashingPool,
        policy: Policy,
        addresses: AddressPepper,
        *,
        mode: Registration,
        shared_quota: timedelta,
    ) -> None:
        self._database, self._hashing, self._policy, self._addresses = database, hashing, policy, addresses
        self._mode, self._shared_quota = mode, shared_quota

    async def register(self, command: Register) -> User:
        """Create an account.

        The invite is checked first, so that nobody without one learns which names are taken. It is used in the
        transaction that creates the account, so a failed attempt does not consume it. The password is hashed before the
        name is looked up, so that timing does not reveal whether it is taken.

        Raises:
            RegistrationClosed: registration is closed.
            InviteRequired: an invite is required and none was sent.
            InvalidInvite: the invite cannot be used; does not say why.
            InvalidAccount: username, email or password is invalid; says what is wrong with each.
            AccountTaken: username or email is taken, ignoring case; does not say which.
            Busy: too many passwords are waiting to be hashed.
        """
        invite = await self._checked_invite(command)
        with self._hashing.place():
            password = command.password.get_secret_value()
            username, email = command.username, normalised_email(command.email)
            errors = account_errors(username, command.email) + self._policy.errors(
                password, username=username, email=command.email, pointer="/password"
            )
            if errors or email is None:
                raise InvalidAccount(errors=errors)
            password_hash = await self._hashing.make(password)
            user_id, detail = new_id(), dict[str, Any]()
            async with self._database.direct() as connection:
                tier = Tier.FREE
                if invite is not None:
                    spent = await invites.spend(connection, invite, used_by=user_id)
                    if spent is None:
                        raise InvalidInvite
                    tier, detail = spent.tier, {"invite_id": str(spent.id), "tier": spent.tier}
                made = await logins.make(
                    connection, user_id, username=username, email=email, password_hash=password_hash, tier=tier
                )
                if made is None:
                    raise AccountTaken
                if invite is None:
                    await self._share_quota(connection, user_id, command.ip)
                entry = Entry("account.made", actor_id=made.id, subject_id=made.id, ip=command.ip, detail=detail)
                await audit.record(connection, entry)
        return made

    async def _checked_invite(self, command: Register) -> bytes | None:
        """Return the digest of a usable invite; None when none was sent and none is required."""
        if self._mode is Registration.CLOSED:
            raise RegistrationClosed
        if command.invite is None:
            if self._mode is Registration.INVITE:
                raise InviteRequired
            return None
        digest = invite_digest(command.invite.get_secret_value())
        async with self._database.single() as connection:
            if digest is None or not await invites.works(connection, digest):
                raise InvalidInvite
        return digest

    async def _share_quota(self, connection: Connection, user_id: UUID, address: str | None) -> None:
        digest = self._addresses.digest(address or "")
        if self._shared_quota and digest is not None:
            await quota_groups.join(connection, user_id, digest, lasts=self._shared_quota)
