"""Where auth is put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from auth import consumers
from auth.domain.api_key import Pepper
from auth.settings import Settings
from auth.store.users import UserStore
from auth.usecases.bootstrap import bootstrap
from auth.usecases.read_tenant import TenantReader
from auth.usecases.verify_credential import CredentialVerifier
from chassis.bus import Bus
from chassis.lifecycle import running
from chassis.postgres import Database
from chassis.web import create_web
from contracts.auth import Role, Tier
from contracts.permissions import inbox_prefix


def create_app(settings: Settings) -> FastAPI:
    """Auth, ready to be served: its health over HTTP, everything else over NATS."""
    url = settings.database_url.get_secret_value()
    database = Database(url, name="auth", pool_size=settings.database_pool)
    bus = Bus(
        settings.nats_url,
        name="auth",
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        inbox=inbox_prefix("auth"),
    )
    users = UserStore(database)
    consumers.register(
        bus,
        verifier=CredentialVerifier(users, Pepper(settings.secret_key.get_secret_value())),
        tenants=TenantReader(users),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running("auth", bus, database=database, url=url):
            yield

    return create_web("auth", lifespan=lifespan, probes={"nats": bus.probe, "postgres": database.probe})


async def bootstrap_user(
    settings: Settings, *, username: str, email: str | None, role: Role, tier: Tier
) -> dict[str, str]:
    """Make the user unless it is there, and a fresh key: ``user_id, username, key``."""
    database = Database(settings.database_url.get_secret_value(), name="auth")
    try:
        made = await bootstrap(
            UserStore(database),
            Pepper(settings.secret_key.get_secret_value()),
            username=username,
            email=email or f"{username}@localhost",
            role=role,
            tier=tier,
        )
    finally:
        await database.close()
    return {"user_id": str(made.user_id), "username": username, "key": made.key}
