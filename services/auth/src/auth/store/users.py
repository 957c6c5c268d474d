"""Users, tiers and keys in PostgreSQL."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from auth.domain.user import StoredKey, User
from auth.store.tables import API_KEYS, TIERS, USERS
from chassis.ids import new_id
from chassis.postgres import Database
from contracts.auth import Limits, Role, Tenant, Tier

_USER_COLUMNS = (USERS.c.id.label("user_id"), USERS.c.username, USERS.c.tier, USERS.c.role, USERS.c.is_active)


class UserStore:
    """Reads and writes users, their tiers and their keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_key(self, key_id: str) -> StoredKey | None:
        """The key of that id with its user."""
        query = (
            select(API_KEYS.c.id, API_KEYS.c.digest, API_KEYS.c.scopes, API_KEYS.c.expires_at, API_KEYS.c.revoked_at)
            .add_columns(*_USER_COLUMNS)
            .join(USERS, USERS.c.id == API_KEYS.c.user_id)
            .where(API_KEYS.c.id == key_id)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return StoredKey(
            id=row.id,
            digest=row.digest,
            scopes=tuple(row.scopes),
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            user=_user(row),
        )

    async def find_tenant(self, user_id: UUID) -> Tenant | None:
        """Tier and limits of a user: its own limits, where it has any, over its tier's."""
        query = (
            select(TIERS, USERS.c.id, USERS.c.limits, USERS.c.is_active)
            .join(USERS, USERS.c.tier == TIERS.c.name)
            .where(USERS.c.id == user_id)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        limits = {name: getattr(row, name) for name in Limits.model_fields} | (row.limits or {})
        return Tenant(
            tenant_id=row.id, tier=Tier(row.name), is_active=row.is_active, limits=Limits.model_validate(limits)
        )

    async def ensure_user(self, *, username: str, email: str, role: Role, tier: Tier) -> UUID:
        """The id of the user of that name, made if there is none."""
        make = upsert(USERS).values(id=new_id(), username=username, email=email, role=role, tier=tier)
        async with self._database.transaction() as connection:
            await connection.execute(make.on_conflict_do_nothing(index_elements=["username"]))
            rows = await connection.execute(select(USERS.c.id).where(USERS.c.username == username))
            found: UUID = rows.scalar_one()
        return found

    async def add_key(self, user_id: UUID, key_id: str, digest: bytes, *, name: str, scopes: tuple[str, ...]) -> None:
        """Keep a key of a user."""
        values = {"id": key_id, "user_id": user_id, "digest": digest, "name": name, "scopes": list(scopes)}
        async with self._database.transaction() as connection:
            await connection.execute(insert(API_KEYS).values(values))


def _user(row: Row[Any]) -> User:
    return User(
        id=row.user_id,
        username=row.username,
        tier=Tier(row.tier),
        role=Role(row.role),
        is_active=row.is_active,
    )
