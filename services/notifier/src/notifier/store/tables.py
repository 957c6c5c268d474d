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
    comment="Written from the event stream, the key is the inbox; read for replay; kept for days.",
)

PURGED_JOBS = Table(
    "purged_jobs",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Of whom no event is kept any more, however late it comes.",
)

DEAD_LETTERS = create_dead_letters_table(METADATA)
