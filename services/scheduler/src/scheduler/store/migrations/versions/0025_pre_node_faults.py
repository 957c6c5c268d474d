"""GPU memory that jobs need; jobs that failed on a node; why the scheduler cordoned a node.

Revision ID: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column(
        "requirements",
        sa.Column(
            "memory_over_gib",
            sa.Integer,
            comment="a GPU of this size was too small: only a larger one runs the jobs, if there is one",
        ),
    )
    op.add_column("nodes", sa.Column("cordon_reason", sa.Text, comment="set if the scheduler cordoned it by itself"))
    op.add_column(
        "attempts",
        sa.Column(
            "node_failed", sa.Boolean, nullable=False, server_default="false", comment="while it ran this attempt"
        ),
    )
    op.create_table(
        "node_failures",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        comment="Jobs that failed on a node since it last completed one.",
    )


def downgrade() -> None:
    op.drop_table("node_failures")
    op.drop_column("attempts", "node_failed")
    op.drop_column("nodes", "cordon_reason")
    op.drop_column("requirements", "memory_over_gib")
