"""Runs schema migrations with Alembic from the service's package: one at a time, with a short lock timeout.

A migration is a module in ``<service>/store/migrations/versions`` with ``revision``, ``down_revision`` and
``oldest_code``: the newest revision of the oldest code that works with the migrated schema (see
``chassis.database.schema``).
"""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

import asyncpg
from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from chassis.database.connection_faults import describe_connection_fault
from chassis.database.postgres import SESSION_TIMEOUTS, Connector, Database
from chassis.database.schema import REVISIONS_SQL, SchemaCheck, SchemaFit, SchemaMismatch, read_schema
from chassis.database.url import DatabaseUrl
from chassis.faults import Fault, FaultLog
from chassis.telemetry.logs import log

LOCK_KEY = 7_203_417  # advisory lock key: any number, the same for every migration of one database
LOCK_TIMEOUT_S = 5  # wait for the lock of a table: services wait behind a migration that waits
CONCURRENT_LOCK_TIMEOUT_S = 600  # CREATE INDEX CONCURRENTLY waits for running transactions and blocks no writes
RETRY_S = 1.0
BOOKKEEPING_TABLES = frozenset({"alembic_version", "schema_revisions"})


class MigrationFailed(Exception):
    """The database could not be migrated. The reason was logged."""


def build_alembic_config(service: str, url: str | DatabaseUrl) -> Config:
    """Return Alembic's configuration for the migrations in ``<service>.store.migrations``."""
    config = Config()
    config.set_main_option("script_location", f"{service}.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = DatabaseUrl.parse(url) if isinstance(url, str) else url
    config.attributes["metadata"] = import_module(f"{service}.store.tables").METADATA
    return config


def upgrade(service: str, url: str | DatabaseUrl) -> None:
    """Migrate the database to the newest schema. Idempotent, and safe to run concurrently on several machines.

    A schema that is newer and compatible stays as it is.

    Raises:
        SchemaMismatch: the schema is newer, and does not work with this code.
        OSError, sqlalchemy.exc.DBAPIError, asyncpg.PostgresError: the database is unavailable, or a table is locked.
    """
    config = build_alembic_config(service, url)
    if not asyncio.run(_is_schema_newer(service, config.attributes["url"])):
        command.upgrade(config, "head")


def migrate(service: str, url: DatabaseUrl, *, within_s: float, is_pooled: bool = False) -> None:
    """Migrate like ``upgrade``. Waits for the database, and for locked tables, up to ``within_s`` seconds.

    Args:
        service: name of the package that contains the migrations.
        url: URL of the PostgreSQL server itself, not of a pooler.
        within_s: how long to try.
        is_pooled: whether services connect through a pooler. It drops session timeouts, so they become defaults of the
            role.

    Raises:
        MigrationFailed: the reason was logged.
    """
    waiting, give_up_at = FaultLog(), time.monotonic() + within_s
    while True:
        try:
            upgrade(service, url)
            if is_pooled:
                asyncio.run(_set_role_timeouts(url))
        except SchemaMismatch as mismatch:
            log.error("migrate.failed", reason=str(mismatch))
            raise MigrationFailed from mismatch
        except Exception as error:
            cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
            fault = describe_connection_fault(cause, url.address)
            if fault is None:
                raise
            if time.monotonic() + RETRY_S > give_up_at:
                log.error("migrate.failed", waited_s=within_s, **asdict(fault))
                raise MigrationFailed from error
            waiting.report(fault)
            time.sleep(RETRY_S)
        else:
            return


def check(service: str, url: str) -> None:
    """Raise if the tables in code differ from the result of the migrations."""
    command.check(build_alembic_config(service, url))


def create_index_concurrently(name: str, table: str, columns: list[Any], **options: Any) -> None:
    """Create an index on an existing table without blocking writes. For use in a migration.

    The migration must be safe to repeat from here on, because this commits. An invalid index that an interrupted run
    left behind is replaced.

    Args:
        name: name of the index.
        table: existing table.
        columns: names or expressions.
        options: options of Alembic's ``create_index``.
    """
    with _without_transaction():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index of an existing table without blocking writes. For use in a migration."""
    with _without_transaction():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)


def find_oldest_code(script: Script) -> str:
    """Return the oldest revision whose code works with a migration: ``oldest_code``, by default its own revision."""
    return str(getattr(script.module, "oldest_code", script.revision))


def run_env() -> None:
    """Run the migrations that Alembic requests; the body of every ``env.py``."""
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    asyncio.run(_run_migrations(context.config))


async def _run_migrations(config: Config) -> None:
    connector = Connector(config.attributes["url"])

    async def connect() -> asyncpg.Connection:
        return await connector.connect(statement_cache_size=0, server_settings={"application_name": "migrate"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _lock_database(connection, config.attributes["url"].address)
            await connection.run_sync(_migrate, config.attributes["metadata"])
            await connection.commit()
    finally:
        await engine.dispose()


async def _lock_database(connection: AsyncConnection, where: str) -> None:
    """Wait for other migrations of this database to end.

    It does not wait inside of ``pg_advisory_lock``: a waiting statement has a snapshot, and ``CREATE INDEX
    CONCURRENTLY`` of the other migration would wait for that.
    """
    for name in SESSION_TIMEOUTS:  # a role may have defaults; an index of a large table takes long
        await connection.execute(text(f"SET {name} = 0"))
    waiting = FaultLog()
    while True:
        locked = await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK_KEY})
        await connection.commit()
        if locked:
            return
        waiting.report(Fault("migration", where, "Another process migrates this database.", "Wait until it has ended."))
        await asyncio.sleep(RETRY_S / 4)


def _migrate(connection: Connection, metadata: MetaData) -> None:
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'"))
    connection.execute(text(REVISIONS_SQL))
    for script in context.script.iterate_revisions(MigrationContext.configure(connection).get_current_heads(), "base"):
        _record_revision(connection, script)  # migrations from before this table existed
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=False,
        transaction_per_migration=True,
        on_version_apply=_on_version_apply,
        include_name=lambda name, kind, _: kind != "table" or name not in BOOKKEEPING_TABLES,
    )
    with context.begin_transaction():
        context.run_migrations()


def _on_version_apply(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],  # noqa: ARG001 - Alembic passes it by name
    run_args: Mapping[str, Any],  # noqa: ARG001 - the same
) -> None:
    """Record a migration, or its reversal, in its own transaction."""
    assert ctx.connection is not None  # noqa: S101 - not offline
    for revision in step.up_revision_ids:
        if step.is_upgrade:
            _record_revision(ctx.connection, context.script.get_revision(revision))
        else:
            ctx.connection.execute(text("DELETE FROM schema_revisions WHERE revision = :name"), {"name": revision})


def _record_revision(connection: Connection, script: Script) -> None:
    connection.execute(
        text(
            "INSERT INTO schema_revisions (revision, oldest_code) VALUES (:revision, :oldest_code) "
            "ON CONFLICT (revision) DO UPDATE SET oldest_code = excluded.oldest_code"
        ),
        {"revision": script.revision, "oldest_code": find_oldest_code(script)},
    )


@contextmanager
def _without_transaction() -> Iterator[None]:
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT_S}s'")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")


async def _is_schema_newer(service: str, url: DatabaseUrl) -> bool:
    """Whether the schema is newer than this code and compatible.

    Raises:
        SchemaMismatch: the schema is newer and incompatible.
    """
    connection = await Connector(url).connect(statement_cache_size=0)
    try:
        schema = await read_schema(connection)
    finally:
        await connection.close()
    check = SchemaCheck(service, Database(url, name="migrate"))
    found = check.compare_with_code(schema)
    if found is SchemaFit.INCOMPATIBLE:
        fault = check.find_fault(schema)
        raise SchemaMismatch(f"{fault.reason} {fault.action}" if fault else found)
    if found is SchemaFit.NEWER:
        log.info("migrate.schema_is_newer", schema=schema.revision, code=check.head)
    return found is SchemaFit.NEWER


async def _set_role_timeouts(url: DatabaseUrl) -> None:
    """Make the session timeouts of a service the defaults of the role in this database."""
    connection = await Connector(url).connect(statement_cache_size=0)
    try:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        for setting, value in SESSION_TIMEOUTS.items():
            await connection.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET {setting} = '{value}'")
    finally:
        await connection.close()
