"""Creates the first users of a new installation."""

from dataclasses import dataclass
from uuid import UUID

from auth.domain.api_key import Pepper, new_api_key
from auth.domain.password import Policy
from auth.domain.password_hash import PasswordHashes
from auth.store import audit, changes, keys, logins, users
from auth.store.audit import Entry
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import AccountTaken, InvalidAccount, Role
from contracts.auth.credentials import scopes_of
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import GraphPolicy


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A user and its new key."""

    user_id: UUID
    key: str


async def bootstrap(
    database: Database,
    pepper: Pepper,
    policy: Policy,
    *,
    username: str,
    email: str,
    role: Role,
    tier: Tier,
    graph_policy: GraphPolicy | None = None,
    password: str | None = None,
) -> Bootstrapped:
    """Create the user unless the name exists, and a new key for it. An existing user is not changed.

    The key has every scope of its user and never expires.

    Args:
        graph_policy: override of the tier's graph policy for a new user.
        password: set if given; ends every session of the user.

    Raises:
        AccountTaken: the user does not exist and the email address belongs to another one.
        InvalidAccount: the password breaks the policy.
    """
    hashed = None if password is None else _hashed(policy, password, username, email)
    key = new_api_key()
    async with database.direct() as connection:
        own = {} if graph_policy is None else {"graph_policy": graph_policy}
        user = await users.ensure(connection, username=username, email=email, role=role, tier=tier, own=own)
        if user is None:
            raise AccountTaken
        if hashed is not None:
            await _set_password(connection, user.id, hashed)
        scopes = scopes_of(user.role)
        await keys.add(
            connection, user.id, key.id, pepper.digest(key), name="bootstrap", scopes=scopes, expires_at=None
        )
        detail = {"key_id": key.id, "role": user.role, "password": password is not None}
        await audit.record(connection, Entry("account.bootstrapped", None, user.id, None, detail))
    return Bootstrapped(user_id=user.id, key=key.text)


def _hashed(policy: Policy, password: str, username: str, email: str) -> str:
    if errors := policy.errors(password, username=username, email=email, pointer="/password"):
        raise InvalidAccount(errors=errors)
    return PasswordHashes().make(password)


async def _set_password(connection: Connection, user_id: UUID, hashed: str) -> None:
    await logins.set_hash(connection, user_id, hashed)
    await users.end_sessions(connection, user_id)
    await changes.change(connection, user_id, void_tokens=True)
