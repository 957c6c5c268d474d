from datetime import timedelta
from typing import Any
from uuid import UUID

from auth.domain.account import normalize_email, validate_account
from auth.domain.invite import digest_invite_token
from auth.domain.password import PasswordPolicy
from auth.domain.quota_group import AddressPepper
from auth.store import audit, invites, quota_groups, users
from auth.store.audit import NewAuditEntry
from auth.usecases.hash_passwords import HashingPool
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
        shared_quota: accounts registered from one address within this time share one daily image quota; zero: every
            account has its own. Invited accounts always have their own.
    """

    def __init__(
        self,
        database: Database,
        hashing: HashingPool,
        policy: PasswordPolicy,
        address_pepper: AddressPepper,
        *,
        mode: Registration,
        shared_quota: timedelta,
    ) -> None:
        self._database, self._hashing, self._policy, self._address_pepper = database, hashing, policy, address_pepper
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
            TooManyLogins: too many passwords are waiting to be hashed.
        """
        invite = await self._check_invite(command)
        with self._hashing.reserve_slot():
            password = command.password.get_secret_value()
            username, email = command.username, normalize_email(command.email)
            errors = validate_account(username, command.email) + self._policy.validate(
                password, username=username, email=command.email, pointer="/password"
            )
            if errors or email is None:
                raise InvalidAccount(errors=errors)
            password_hash = await self._hashing.hash(password)
            user_id, detail = new_id(), dict[str, Any]()
            async with self._database.transaction() as connection:
                tier = Tier.FREE
                if invite is not None:
                    redeemed = await invites.redeem_invite(connection, invite, used_by=user_id)
                    if redeemed is None:
                        raise InvalidInvite
                    tier, detail = redeemed.tier, {"invite_id": str(redeemed.id), "tier": redeemed.tier}
                user = await users.create_user(
                    connection, user_id, username=username, email=email, password_hash=password_hash, tier=tier
                )
                if user is None:
                    raise AccountTaken
                if invite is None:
                    await self._join_quota_group(connection, user_id, command.ip)
                entry = NewAuditEntry(
                    "account.made", actor_id=user.id, subject_id=user.id, ip=command.ip, detail=detail
                )
                await audit.append_entry(connection, entry)
        return user

    async def _check_invite(self, command: Register) -> bytes | None:
        """Return the digest of a usable invite; None if no invite was sent and registration needs none."""
        if self._mode is Registration.CLOSED:
            raise RegistrationClosed
        if command.invite is None:
            if self._mode is Registration.INVITE:
                raise InviteRequired
            return None
        digest = digest_invite_token(command.invite.get_secret_value())
        async with self._database.connection() as connection:
            if digest is None or not await invites.is_usable(connection, digest):
                raise InvalidInvite
        return digest

    async def _join_quota_group(self, connection: Connection, user_id: UUID, address: str | None) -> None:
        digests = self._address_pepper.list_digests(address or "")
        if self._shared_quota and digests:
            await quota_groups.join_quota_group(connection, user_id, digests, max_age=self._shared_quota)
