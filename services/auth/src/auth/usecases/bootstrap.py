"""The first users of a new system."""

from dataclasses import dataclass
from uuid import UUID

from auth.domain.api_key import Pepper, new_api_key
from auth.domain.password import Policy
from auth.domain.password_hash import PasswordHashes
from auth.store import audit, changes, keys, logins, users
from auth.store.audit import Entry
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth import AccountTaken, InvalidAccount, Role, Tier, scopes_of
from contracts.graph_policy.policy import GraphPolicy


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A user and a key of it that nobody has seen yet."""

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
    """Make the user unless one of that name is there, and a fresh key for it. A user that is there stays as it is.

    The key may do all that its user may, and does not expire.

    Args:
        graph_policy: of the user's own, instead of the tier's.
        password: to log in with from now on; whoever is logged in as that user no longer is.

    Raises:
        AccountTaken: there is no such user, and the address is another one's.
        InvalidAccount: the password is not good enough.
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
