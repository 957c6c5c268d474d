"""Creates the first users of a new installation."""

from dataclasses import dataclass
from uuid import UUID

from auth.domain.account import BAD_USERNAME, is_username
from auth.domain.api_key import ApiKeyPepper, new_api_key
from auth.domain.password import PasswordPolicy
from auth.domain.password_hash import PasswordHasher
from auth.store import audit, changes, keys, logins, users
from auth.store.audit import NewAuditEntry
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import AccountTaken, InvalidAccount, Role
from contracts.auth.credentials import list_scopes
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import GraphPolicy


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """A user and its new key."""

    user_id: UUID
    key: str


async def bootstrap(
    database: Database,
    pepper: ApiKeyPepper,
    policy: PasswordPolicy,
    *,
    username: str,
    email: str,
    role: Role,
    tier: Tier,
    graph_policy: GraphPolicy | None = None,
    password: str | None = None,
) -> BootstrapResult:
    """Create the user unless the name exists, and a new key for it. An existing user is not changed.

    The key has every scope of its user and never expires.

    Args:
        graph_policy: override of the tier's graph policy for a new user.
        password: set if given; ends every session of the user.

    Raises:
        AccountTaken: the user does not exist and the email address belongs to another one.
        InvalidAccount: the password breaks the policy, or the user does not exist and its username is invalid.
    """
    hashed = None if password is None else _hash_password(policy, password, username, email)
    key = new_api_key()
    async with database.transaction() as connection:
        if not is_username(username) and await users.find_user_id(connection, username) is None:
            raise InvalidAccount(errors=(BAD_USERNAME,))
        own_limits = {} if graph_policy is None else {"graph_policy": graph_policy}
        user = await users.find_or_create_user(
            connection, username=username, email=email, role=role, tier=tier, own_limits=own_limits
        )
        if user is None:
            raise AccountTaken
        if hashed is not None:
            await _set_password(connection, user.id, hashed)
        scopes = list_scopes(user.role)
        await keys.add_key(
            connection,
            user.id,
            key.id,
            pepper.digest(key),
            pepper.pepper_id,
            name="bootstrap",
            scopes=scopes,
            expires_at=None,
        )
        detail = {"key_id": key.id, "role": user.role, "password": password is not None}
        await audit.append_entry(connection, NewAuditEntry("account.bootstrapped", None, user.id, None, detail))
    return BootstrapResult(user_id=user.id, key=key.text)


def _hash_password(policy: PasswordPolicy, password: str, username: str, email: str) -> str:
    if errors := policy.validate(password, username=username, email=email, pointer="/password"):
        raise InvalidAccount(errors=errors)
    return PasswordHasher().hash(password)


async def _set_password(connection: Connection, user_id: UUID, hashed: str) -> None:
    await logins.set_password_hash(connection, user_id, hashed)
    await users.end_sessions(connection, user_id)
    await changes.record_change(connection, user_id, void_tokens=True)
