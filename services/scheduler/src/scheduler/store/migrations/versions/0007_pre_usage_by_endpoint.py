"""Add usage by endpoint.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("endpoint", sa.Text(), comment="by which it came, or the job that it runs again"))
    op.create_table(
        "usage_endpoints",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False, comment="method and template of the path"),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "endpoint", name=op.f("pk_usage_endpoints")),
    )
    op.create_index("ix_usage_endpoints_day", "usage_endpoints", ["day"])


def downgrade() -> None:
    op.drop_table("usage_endpoints")
    op.drop_column("jobs", "endpoint")
