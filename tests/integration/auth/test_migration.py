"""Migrations preserve existing data: keys created before scopes existed keep all scopes, tiers keep their retention."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from alembic import command

from auth.domain.api_key import ApiKeyPepper, new_api_key
from chassis.database.migrate import build_alembic_config, upgrade
from contracts.auth.accounts import Role
from contracts.auth.credentials import Scope, list_scopes
from tests.integration.auth.conftest import SECRET, system_at
from tests.integration.auth.people import verified
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer

MAKE_USER = "INSERT INTO users (id, username, email, role, tier) VALUES ($1, $2, $2, $3, 'pro')"
MAKE_KEY = "INSERT INTO api_keys (id, user_id, digest, name, scopes) VALUES ($1, $2, $3, 'bootstrap', '{jobs}')"


async def test_migrated_key_keeps_all_scopes_of_its_user(
    nats_server: NatsServer, postgres_server: PostgresServer
) -> None:
    url = await postgres_server.create_database("auth")
    async with system_at(nats_server.url, url) as system:
        await asyncio.to_thread(command.downgrade, build_alembic_config("auth", url), "0001")
        keys = {role: new_api_key() for role in Role}
        for number, (role, key) in enumerate(keys.items()):
            await system.sql.execute(MAKE_USER, UUID(int=number), role, role)
            await system.sql.execute(MAKE_KEY, key.id, UUID(int=number), ApiKeyPepper(SECRET).digest(key))
        await asyncio.to_thread(upgrade, "auth", url)
        found = {role: (await verified(system, key.text)).scopes for role, key in keys.items()}
    assert found == {role: list_scopes(role) for role in Role}
    assert Scope.ADMIN not in found[Role.USER]


@pytest.mark.requirement("tier enterprise")
async def test_only_a_new_installation_gets_a_retention_for_enterprise(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create_database("auth")
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    retention = "SELECT result_days, upload_days FROM tiers WHERE name = 'enterprise'"
    try:
        assert tuple(await sql.fetchrow(retention)) == (365, 90)
        await asyncio.to_thread(command.downgrade, build_alembic_config("auth", url), "0009")
        await sql.execute("UPDATE tiers SET result_days = NULL, upload_days = NULL WHERE name = 'enterprise'")
        await sql.execute(MAKE_USER, UUID(int=1), "ada", "user")
        await asyncio.to_thread(upgrade, "auth", url)
        assert tuple(await sql.fetchrow(retention)) == (None, None)
    finally:
        await sql.close()
