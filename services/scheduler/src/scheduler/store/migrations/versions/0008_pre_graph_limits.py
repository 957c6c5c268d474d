"""Add graph limits of tenants, warnings of jobs, and the models that nodes had when they joined.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column(
            "limits", JSONB, nullable=False, server_default="{}", comment="all limits by name (contracts.auth.Limits)"
        ),
    )
    op.add_column("tenants", sa.Column("gpu_seconds_per_day", sa.Float))
    op.add_column(
        "tenants", sa.Column("quota_group", sa.Uuid, comment="tenants of one group share a daily image quota")
    )
    op.create_index(
        "ix_tenants_quota_group", "tenants", ["quota_group"], postgresql_where=sa.text("quota_group IS NOT NULL")
    )
    op.add_column("jobs", sa.Column("warnings", JSONB, comment="contracts.scheduler.JobWarning, of the end"))
    op.create_table(
        "models_at_join",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True, comment="Class.input=file"),
        comment="Models that a node had when it joined: no job can have written them.",
    )


def downgrade() -> None:
    op.drop_table("models_at_join")
    op.drop_column("jobs", "warnings")
    op.drop_index("ix_tenants_quota_group", "tenants")
    op.drop_column("tenants", "quota_group")
    op.drop_column("tenants", "gpu_seconds_per_day")
    op.drop_column("tenants", "limits")
