"""Alembic's entry point."""

from chassis.database.migrate import run_env

run_env()
