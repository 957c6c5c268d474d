"""Totals of jobs, durations, failures and nodes by minute and hour, for trends.

Revision ID: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
oldest_code = "0016"


def upgrade() -> None:
    op.create_table(
        "trend_jobs",
        sa.Column("step_s", sa.Integer, primary_key=True, comment="60 or 3600, here and below"),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True, comment="beginning of the period"),
        sa.Column("submitted", sa.Integer, nullable=False),
        sa.Column("started", sa.Integer, nullable=False, comment="attempts"),
        sa.Column("completed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("cancelled", sa.Integer, nullable=False),
        sa.Column("images", sa.BigInteger, nullable=False),
        sa.Column("busy_s", sa.Float, nullable=False, comment="seconds in which nodes held an attempt"),
        sa.Column("online_s", sa.Float, nullable=False, comment="seconds in which nodes were online"),
    )
    op.create_table(
        "trend_durations",
        sa.Column("step_s", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True, comment="wait or run"),
        sa.Column("bin", sa.Integer, primary_key=True, comment="scheduler.domain.durations"),
        sa.Column("jobs", sa.Integer, nullable=False),
    )
    op.create_table(
        "trend_failures",
        sa.Column("step_s", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("job_id", sa.Uuid, index=True, comment="an example; null once that job is deleted"),
    )
    op.create_table(
        "trend_nodes",
        sa.Column("step_s", sa.Integer, primary_key=True, comment="600 or 3600"),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("started", sa.Integer, nullable=False, comment="attempts, here and below"),
        sa.Column("succeeded", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("faults", sa.Integer, nullable=False),
        sa.Column("busy_s", sa.Float, nullable=False),
        sa.Column("online_s", sa.Float, nullable=False),
    )


def downgrade() -> None:
    for table in ("trend_nodes", "trend_failures", "trend_durations", "trend_jobs"):
        op.drop_table(table)
