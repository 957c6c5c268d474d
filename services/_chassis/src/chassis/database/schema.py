"""Whether this code works with the schema that a database has (decision record 0045).

Code needs at least its own newest revision, its *head*. A newer schema is fine as long as every migration in it works
with code of this head: each migration names the oldest code that it works with, and ``migrate`` writes that into the
table ``schema_revisions`` of the database, where older code finds it.
"""

from collections.abc import Collection
from enum import StrEnum
from functools import cache, cached_property
from importlib import resources
from typing import NamedTuple

from alembic.script import ScriptDirectory

from chassis.database.postgres import Database
from chassis.database.statement import Connection, Statement
from chassis.faults import Fault

REVISIONS_SQL = """
CREATE TABLE IF NOT EXISTS schema_revisions (
    revision text PRIMARY KEY,
    oldest_code text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_TABLES = Statement("SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('schema_revisions') IS NOT NULL")
_REVISION = Statement("SELECT version_num FROM alembic_version")
_OLDEST_CODE = Statement("SELECT max(oldest_code) FROM schema_revisions")


class Schema(NamedTuple):
    """The schema of a database.

    Attributes:
        revision: newest migration; None if there are no tables.
        oldest_code: oldest code that works with it, named by its newest revision; None if unknown.
    """

    revision: str | None
    oldest_code: str | None


class SchemaFit(StrEnum):
    """Whether code works with a schema. Code may run with ``CURRENT`` and ``NEWER``."""

    CURRENT = "current"
    NEWER = "newer"
    MISSING = "missing"
    OLDER = "older"
    INCOMPATIBLE = "incompatible"


class SchemaMismatch(Exception):
    """The code does not work with the schema of the database."""


def compare_revisions(schema: Schema, *, head: str, known: Collection[str]) -> SchemaFit:
    """Compare a schema with code. Revisions are numbers of four digits.

    Args:
        schema: schema of the database.
        head: newest revision of the code.
        known: all revisions of the code.
    """
    if schema.revision is None:
        return SchemaFit.MISSING
    if schema.revision == head:
        return SchemaFit.CURRENT
    if schema.revision in known:
        return SchemaFit.OLDER
    return SchemaFit.NEWER if schema.oldest_code is not None and schema.oldest_code <= head else SchemaFit.INCOMPATIBLE


async def read_schema(connection: Connection) -> Schema:
    """Return the schema of a database."""
    has_revision, has_compatibility = await _TABLES.fetch_first(connection) or (False, False)
    return Schema(
        await _REVISION.fetch_value(connection) if has_revision else None,
        await _OLDEST_CODE.fetch_value(connection) if has_compatibility else None,
    )


@cache
def _load_scripts(service: str) -> ScriptDirectory:
    return ScriptDirectory(str(resources.files(f"{service}.store") / "migrations"))


class SchemaCheck:
    """Compares the schema of a service's database with its code.

    Args:
        service: name of the service, whose package contains the migrations.
    """

    def __init__(self, service: str, database: Database) -> None:
        self._service, self._database = service, database

    @cached_property
    def scripts(self) -> ScriptDirectory:
        """The migrations that this version of the service ships with."""
        return _load_scripts(self._service)

    @cached_property
    def head(self) -> str:
        """The newest revision that this version of the service knows."""
        return self.scripts.get_current_head() or ""

    @cached_property
    def _known_revisions(self) -> frozenset[str]:
        return frozenset(script.revision for script in self.scripts.walk_revisions())

    async def read_schema(self) -> Schema:
        """Return the schema of the database.

        Raises:
            OSError, asyncpg.PostgresError: the database is unavailable.
        """
        async with self._database.connection() as connection:
            return await read_schema(connection)

    def compare_with_code(self, schema: Schema) -> SchemaFit:
        return compare_revisions(schema, head=self.head, known=self._known_revisions)

    def find_fault(self, schema: Schema) -> Fault | None:
        """Return why this code cannot work with a schema; None if it can."""
        migrate = f"Run: python -m {self._service} migrate"
        match self.compare_with_code(schema):
            case SchemaFit.MISSING:
                return self._build_fault("The database has no tables of this service.", migrate)
            case SchemaFit.OLDER:
                return self._build_fault(f"The schema is {schema.revision}, this version needs {self.head}.", migrate)
            case SchemaFit.INCOMPATIBLE:
                return self._build_fault(
                    f"The schema is {schema.revision}, which needs code {schema.oldest_code or schema.revision} or "
                    f"newer; this version is {self.head}.",
                    "Start the newer version, or restore the backup from before the upgrade.",
                )
            case _:
                return None

    async def probe(self) -> None:
        """Raise unless this code works with the schema."""
        fault = self.find_fault(await self.read_schema())
        if fault is not None:
            raise SchemaMismatch(fault.reason)

    def _build_fault(self, reason: str, action: str) -> Fault:
        return Fault("schema", self._database.address, reason, action)
