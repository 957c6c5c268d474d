"""SQLAlchemy tables of the notifier's database."""

from sqlalchemy import Column, DateTime, Index, Integer, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.postgres import new_metadata
from chassis.messaging.dead_letters import create_dead_letters_table

METADATA = new_metadata()

JOB_EVENTS = Table(
    "job_events",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSONB, nullable=False, comment="the whole event"),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_job_events_at", "at"),
    comment="Events of jobs from the event stream, kept for days. The primary key drops duplicates.",
)

PURGED_JOBS = Table(
    "purged_jobs",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Purged jobs: late events of them are not stored.",
)

DEAD_LETTERS = create_dead_letters_table(METADATA)
