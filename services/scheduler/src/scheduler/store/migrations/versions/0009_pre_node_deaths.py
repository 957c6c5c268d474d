"""Record node deaths in attempts, and the node that a job avoids.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column(
            "node_died", sa.Boolean(), server_default="false", nullable=False, comment="with this attempt in hand"
        ),
    )
    op.add_column(
        "attempts",
        sa.Column(
            "silent_boot_id",
            sa.Uuid(),
            nullable=True,
            comment="executor that fell silent; heard again, its node had not died",
        ),
    )
    op.add_column("jobs", sa.Column("avoid_node", sa.Text(), comment="it died with this job: other nodes come first"))
    op.add_column("jobs", sa.Column("avoid_until", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_jobs_avoid",
        "jobs",
        ["avoid_node"],
        postgresql_where=sa.text("state = 'queued' AND avoid_node IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_avoid", table_name="jobs")
    op.drop_column("jobs", "avoid_until")
    op.drop_column("jobs", "avoid_node")
    op.drop_column("attempts", "silent_boot_id")
    op.drop_column("attempts", "node_died")
