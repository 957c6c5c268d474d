"""Simulates the migration of a later release, with a revision unknown to this code."""

import asyncio
import shutil
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from chassis.database.migrate import build_alembic_config

HEADER = """
import sqlalchemy as sa
from alembic import op

from chassis.database.migrate import create_index_concurrently, drop_index_concurrently

revision = "{revision}"
down_revision = "{down}"
"""


def find_head_revision(service: str) -> str:
    """Return the newest revision of this code."""
    return ScriptDirectory(str(resources.files(f"{service}.store") / "migrations")).get_current_head() or ""


def write_later_migration(folder: Path, service: str, body: str) -> Path:
    """Copy a service's migrations to a new folder and add one; return the folder."""
    folder = folder / f"{service}-migrations"
    shutil.copytree(
        Path(str(resources.files(f"{service}.store") / "migrations")), folder, ignore=shutil.ignore_patterns("__pyc*")
    )
    head = find_head_revision(service)
    revision = f"{int(head) + 1:04}"
    text = HEADER.format(revision=revision, down=head) + body
    (folder / "versions" / f"{revision}_pre_later.py").write_text(text)
    return folder


async def apply_later_migration(folder: Path, service: str, url: str, body: str) -> None:
    """Migrate a database to a revision unknown to this code."""
    config = build_alembic_config(service, url)
    config.set_main_option("script_location", str(write_later_migration(folder, service, body)))
    await asyncio.to_thread(command.upgrade, config, "head")
