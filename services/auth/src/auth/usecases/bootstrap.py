"""The first users of a new system."""

from dataclasses import dataclass
from uuid import UUID

from auth.domain.api_key import Pepper, new_api_key
from auth.domain.user import ALL_SCOPES
from auth.store.users import UserStore
from contracts.auth import Role, Tier


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A user and a key of it that nobody has seen yet."""

    user_id: UUID
    key: str


async def bootstrap(
    users: UserStore, pepper: Pepper, *, username: str, email: str, role: Role, tier: Tier
) -> Bootstrapped:
    """Make the user unless one of that name is there, and a fresh key for it. A user that is there stays as it is."""
    user_id = await users.ensure_user(username=username, email=email, role=role, tier=tier)
    key = new_api_key()
    await users.add_key(user_id, key.id, pepper.digest(key), name="bootstrap", scopes=ALL_SCOPES)
    return Bootstrapped(user_id=user_id, key=key.text)
