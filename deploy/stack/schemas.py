"""Checks whether the databases need a migration."""

import asyncio
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from stack.postgres import PostgresServer


async def are_schemas_current(postgres: "PostgresServer", services: Iterable[str]) -> bool:
    """Whether every database has its service's newest migration. False if one cannot be read."""
    current = await asyncio.gather(*(_is_current(postgres, service) for service in services))
    return all(current)


async def _is_current(postgres: "PostgresServer", service: str) -> bool:
    try:
        connection = await asyncpg.connect(postgres.build_url(service).replace("+asyncpg", ""))
        try:
            found = await connection.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError):
        return False
    return bool(found == _find_newest_revision(service))


def _find_newest_revision(service: str) -> str:
    """Return the revision number of the newest migration, from its file name."""
    package = find_spec(f"{service}.store")
    folders = package.submodule_search_locations if package else None
    versions = (path for folder in folders or () for path in Path(folder, "migrations/versions").glob("[0-9]*.py"))
    return max((path.name.partition("_")[0] for path in versions), default="")
