"""Alembic's entry point."""

from chassis.migrate import run_env

run_env()
