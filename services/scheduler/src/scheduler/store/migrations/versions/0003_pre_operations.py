"""Add cordon, drain and hold, indexes for searches and statistics, and daily usage.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INDEXES = {
    "ix_jobs_held": ("jobs", ["tenant_id"], "state = 'queued' AND on_hold"),
    "ix_jobs_active": ("jobs", ["id"], "state IN ('leased', 'running')"),
    "ix_jobs_in_vain": ("jobs", ["id"], "state IN ('failed', 'expired', 'cancelled')"),
    "ix_jobs_completed_at": ("jobs", ["completed_at"], "completed_at IS NOT NULL"),
    "ix_jobs_failed_at": ("jobs", ["completed_at"], "state IN ('failed', 'expired')"),
    "ix_attempts_node": ("attempts", ["node", "job_id"], None),
    "ix_usage_days_day": ("usage_days", ["day"], None),
}


def upgrade() -> None:
    op.add_column("usage_days", sa.Column("jobs", sa.Integer(), server_default="0", nullable=False))
    op.add_column("usage_days", sa.Column("gpu_seconds", sa.Float(), server_default="0", nullable=False))
    op.add_column(
        "jobs",
        sa.Column(
            "on_hold", sa.Boolean(), server_default="false", nullable=False, comment="queued, and not counted there"
        ),
    )
    op.add_column(
        "jobs", sa.Column("retry_of", sa.Uuid(), nullable=True, comment="the failed job that this one runs again")
    )
    op.add_column(
        "nodes",
        sa.Column(
            "cordoned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="an operator wants it to get no new work",
        ),
    )
    op.add_column(
        "nodes",
        sa.Column("drain_at", sa.DateTime(timezone=True), nullable=True, comment="and to lose what it has then"),
    )
    _queue_where("state = 'queued' AND NOT on_hold")
    for name, (table, columns, where) in INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=sa.text(where) if where else None)


def downgrade() -> None:
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    _queue_where("state = 'queued'")
    for table, column in (
        ("nodes", "drain_at"),
        ("nodes", "cordoned_at"),
        ("jobs", "retry_of"),
        ("jobs", "on_hold"),
        ("usage_days", "gpu_seconds"),
        ("usage_days", "jobs"),
    ):
        op.drop_column(table, column)


def _queue_where(where: str) -> None:
    op.drop_index("ix_jobs_queue", table_name="jobs")
    columns = ["tenant_id", sa.literal_column("priority DESC"), "id"]
    op.create_index("ix_jobs_queue", "jobs", columns, postgresql_where=sa.text(where))
