"""Every new migration says which code it works with, and builds no index that blocks writes."""

import io
import re
from importlib import resources
from pathlib import Path

import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory

from chassis.database.migrate import build_alembic_config, find_oldest_code
from contracts.registry import DATABASES
from tests.kit.migrations import find_head_revision, write_later_migration

BEFORE = {"auth": "0009", "gateway": "0009", "scheduler": "0016", "notifier": "0003"}
"""The last migration of each service from before these rules."""
CREATE_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON (\S+)", re.IGNORECASE)
ADD_UNIQUE = re.compile(r"ALTER TABLE (\S+) ADD (?:CONSTRAINT \S+ )?(?:UNIQUE|PRIMARY KEY)(?! USING)", re.IGNORECASE)
CREATE_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\S+)", re.IGNORECASE)


def migrations(service: str) -> list[Script]:
    """Return the migrations of a service, oldest first."""
    folder = str(resources.files(f"{service}.store") / "migrations")
    return list(ScriptDirectory(folder).walk_revisions())[::-1]


def new_migrations(service: str) -> list[Script]:
    return [script for script in migrations(service) if script.revision > BEFORE[service]]


def rendered(service: str, span: str, folder: Path | None = None) -> str:
    """Return the SQL of the migrations in ``from:to``."""
    config = build_alembic_config(service, "postgresql://nowhere/x")
    if folder is not None:
        config.set_main_option("script_location", str(folder))
    config.output_buffer = io.StringIO()
    command.upgrade(config, span, sql=True)
    return config.output_buffer.getvalue()


def tables_blocked_by(sql: str) -> list[str]:
    """Return the existing tables on which an index is built while writes wait."""
    made = set(CREATE_TABLE.findall(sql))
    return [table for rule in (CREATE_INDEX, ADD_UNIQUE) for table in rule.findall(sql) if table not in made]


@pytest.mark.parametrize("service", DATABASES)
def test_revisions_are_consecutive_numbers_of_four_digits(service: str) -> None:
    found = [script.revision for script in migrations(service)]
    assert found == [f"{number:04}" for number in range(1, len(found) + 1)]


@pytest.mark.parametrize("service", DATABASES)
def test_new_migrations_name_the_oldest_code_that_works_with_them(service: str) -> None:
    for script in new_migrations(service):
        assert hasattr(script.module, "oldest_code"), f"{script.path}: add oldest_code (docs/operations/upgrade.md)"
        assert BEFORE[service] <= find_oldest_code(script) <= script.revision, script.path


@pytest.mark.parametrize("service", DATABASES)
def test_new_migrations_build_indexes_concurrently(service: str) -> None:
    for script in new_migrations(service):
        sql = rendered(service, f"{script.down_revision}:{script.revision}")
        assert not tables_blocked_by(sql), f"{script.path}: use chassis.database.migrate.create_index_concurrently"


@pytest.mark.parametrize(
    ("body", "blocked"),
    [
        ('op.create_index("ix_later", "outbox", ["subject"])', ["outbox"]),
        ('op.execute("CREATE UNIQUE INDEX ix_later ON outbox (subject)")', ["outbox"]),
        ('op.create_unique_constraint("uq_later", "outbox", ["subject"])', ["outbox"]),
        ('op.create_table("later", sa.Column("id", sa.Uuid, index=True))', []),
        ('create_index_concurrently("ix_later", "outbox", ["subject"])', []),
    ],
)
def test_index_that_blocks_writes_is_detected_in_a_migration(body: str, blocked: list[str], tmp_path: Path) -> None:
    head = find_head_revision("scheduler")
    folder = write_later_migration(tmp_path, "scheduler", f"\ndef upgrade():\n    {body}\n")
    assert tables_blocked_by(rendered("scheduler", f"{head}:{int(head) + 1:04}", folder)) == blocked
