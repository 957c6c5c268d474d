"""Runs schema migrations with Alembic from the service's package: one at a time, with a short lock timeout."""

import asyncio
from importlib import import_module

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.database.postgres import Database

LOCK = 7_203_417  # advisory lock key: any number, the same for every migration of one database


def newest_schema(service: str) -> str:
    """Return the newest revision that this code knows."""
    return ScriptDirectory.from_config(config_for(service, "")).get_current_head() or ""


def config_for(service: str, url: str) -> Config:
    """Return Alembic's configuration for the migrations in ``<service>.store.migrations``."""
    config = Config()
    config.set_main_option("script_location", f"{service}.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    config.attributes["metadata"] = import_module(f"{service}.store.tables").METADATA
    return config


def upgrade(service: str, url: str) -> None:
    """Migrate the database to the newest schema. Idempotent, and safe to run concurrently on several machines."""
    command.upgrade(config_for(service, url), "head")


def check(service: str, url: str) -> None:
    """Raise if the tables in code differ from the result of the migrations."""
    command.check(config_for(service, url))


async def await_schema(service: str, url: str, database: Database) -> None:
    """Wait until the database has the schema that this code needs."""
    head = ScriptDirectory.from_config(config_for(service, url)).get_current_head()
    while True:
        async with database.transaction() as connection:
            known = await connection.scalar(text("SELECT to_regclass('alembic_version')"))
            if known and await connection.scalar(text("SELECT version_num FROM alembic_version")) == head:
                return
        await asyncio.sleep(0.2)


def run_env() -> None:
    """Run the migrations that Alembic requests; the body of every ``env.py``."""
    asyncio.run(_run(context.config))


async def _run(config: Config) -> None:
    engine = create_async_engine(config.attributes["url"])
    async with engine.connect() as connection:
        await connection.run_sync(_migrate, config.attributes["metadata"])
        await connection.commit()
    await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=False)
    with context.begin_transaction():
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
